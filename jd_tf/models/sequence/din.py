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
    Every behaviour is read apart, and all r(q) stand side by side; the mean of
    each history is the user's own. The paper's events have neither place nor
    age: `use_position` and `use_recency` turn them off. In place of Dice,
    whose statistics are of the batch, the unit has SiLU.
    Arguments, call arguments and outputs are those of `RankingModel`.

    Example:
    >>> from jd_tf.models import get_model
    >>> get_model("din").model_class.__name__
    'DIN'

    References:
        Deep Interest Network for Click-Through Rate Prediction. Zhou et al.,
        KDD 2018 (equation 3).
    """

    config_class = DINConfig

    def make_reader(self, name: str) -> LocalActivationUnit:
        return LocalActivationUnit(
            self.config.activation_units,
            name=f"{name}_activation",
            dtype=self.dtype_policy,
        )

    def build_reader(self, reader: LocalActivationUnit, shape: tuple) -> None:
        reader.build(shape, shape)

    def encode_events(
        self,
        reader: LocalActivationUnit,
        tokens: Any,
        length: Any,
        training: bool = False,
    ) -> tuple[dict[str, Any], Any]:
        return reader.encode_events(tokens), tokens

    def read_events(
        self,
        reader: LocalActivationUnit,
        candidates: Any,
        state: Mapping[str, Any],
        training: bool = False,
    ) -> Any:
        return reader.pool(
            candidates, state["events"], state["parts"], state["length"]
        )
