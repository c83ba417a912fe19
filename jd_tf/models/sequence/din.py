"""Histories pooled for each candidate by local activation."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from jd_tf.layers import LocalActivationUnit
from jd_tf.models.registry import register_model
from jd_tf.models.sequence.sequence_config import SequenceRankerConfig
from jd_tf.models.sequence.sequence_ranker import SequenceRanker


@dataclasses.dataclass(frozen=True)
class DINConfig(SequenceRankerConfig):
    """Sizes of `DIN`.

    Attributes:
        activation_units: widths of the hidden layers of the network that
            weighs events.

    Example:
    >>> DINConfig.of(model_dim=32).items.model_dim
    32
    """

    activation_units: tuple[int, ...] = (32, 16)


@register_model("din", DINConfig)
class DIN(SequenceRanker):
    """Sums the events up that a candidate activates.

        a(q, e) = MLP([e, q, e * q, e - q])
        r(q) = sum over events of a(q, e) e

        events e ─ first products ─┐
        candidate q ───────────────┴─ activation unit ─ r(q)

    The weights are not normalised: many events alike say more than one.
    Every behaviour is read apart. The paper's events have neither place nor
    age (`use_position`, `use_recency`); SiLU stands for Dice, whose statistics
    are of the batch. Arguments, call arguments and outputs are those of
    `RankingModel`.

    Example:
    >>> from jd_tf.models import get_model
    >>> get_model("din").model_class.__name__
    'DIN'

    References:
        Deep Interest Network for Click-Through Rate Prediction. Zhou et al.,
        KDD 2018 (equation 3).
    """

    config_class = DINConfig

    def make_reader(self, name: str) -> list[Any]:
        units = self.config.activation_units
        return [
            LocalActivationUnit(
                units, name=f"{name}_activation", dtype=self.dtype_policy
            )
        ]

    def build_reader(self, reader: list[Any], shape: tuple) -> None:
        reader[0].build(shape, shape)

    def encode_events(
        self, reader: list[Any], tokens: Any, length: Any, training: bool
    ) -> tuple[dict[str, Any], Any]:
        return reader[0].encode_events(tokens), tokens

    def read_events(
        self,
        reader: list[Any],
        candidates: Any,
        state: Mapping[str, Any],
        training: bool,
    ) -> Any:
        events = [state[name] for name in ("events", "parts", "length")]
        if training:
            count = state["num_candidates"]
            return reader[0].pool_real(candidates, *events, count)
        return reader[0].pool(candidates, *events)
