"""Self-attention over the past, and a product with the candidate."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from keras import ops

from jd_tf.layers import TransformerEncoder
from jd_tf.models.base import Tensors
from jd_tf.models.registry import register_model
from jd_tf.models.sequence.sequence_config import (
    TimelineConfig,
    TimelineRankerConfig,
    TransformerConfig,
)
from jd_tf.models.sequence.timeline_ranker import TimelineRanker


@dataclasses.dataclass(frozen=True)
class SASRecConfig(TimelineRankerConfig):
    """Sizes of `SASRec`.

    Attributes:
        timeline: by default without the clock, which is the paper's.
        transformer: of the timeline.

    Example:
    >>> SASRecConfig.of(num_layers=3).transformer.num_layers
    3
    """

    timeline: TimelineConfig = dataclasses.field(
        default_factory=lambda: TimelineConfig(use_gaps=False)
    )
    transformer: TransformerConfig = dataclasses.field(
        default_factory=lambda: TransformerConfig(num_layers=2)
    )


@register_model("sas_rec", SASRecConfig)
class SASRec(TimelineRanker):
    """Ranks by the product of a candidate and what the newest event became.

        h = causal Transformer(events),   u = h of the newest event
        r(q) = [u * q, u q / sqrt(D)]

        events of all behaviours by time ─ causal blocks ─ u ─┐
        candidate q ──────────────────────────────────────────┴─ r(q)

    The product alone is the paper's score of the next item; here it is read,
    beside its terms, by the experts of every objective. Behaviours are merged
    into one timeline, each event with a vector of its behaviour. Places are
    learned as scores of the distance between two events: a vector of each
    place, which the paper adds, would change with every new event. The user
    state is one vector. Arguments, call arguments and outputs are those of
    `RankingModel`.

    Example:
    >>> from jd_tf.models import get_model
    >>> get_model("sas_rec").model_class.__name__
    'SASRec'

    References:
        Self-Attentive Sequential Recommendation. Kang and McAuley, ICDM 2018.
    """

    config_class = SASRecConfig

    @property
    def reads_events(self) -> bool:
        """Returns whether candidates read events: the interest alone."""
        return False

    def make_stack(self) -> None:
        self.transformer = TransformerEncoder(
            **dataclasses.asdict(self.config.transformer),
            dropout_rate=self.config.head.dropout_rate,
            causal=True,
            num_distances=self.window,
            name="transformer",
            dtype=self.dtype_policy,
        )

    def build_stack(self) -> int:
        dim = self.config.items.model_dim
        self.transformer.build((None, None, dim))
        return dim + 1

    def extend_stack(
        self,
        tokens: Any,
        timeline: Tensors,
        kept: Sequence[Any],
        training: bool = False,
    ) -> tuple[Any, list[dict[str, Any]]]:
        return self.transformer.extend(
            tokens,
            timeline["new_length"],
            kept,
            timeline["kept_length"],
            self.window,
            training,
        )

    def read_stack(
        self,
        tokens: Any,
        numbers: Sequence[Any],
        user_state: Tensors,
        context: Any,
        training: bool = False,
    ) -> Any:
        interest = ops.cast(user_state["interest"], tokens.dtype)[:, None]
        products = tokens * interest
        score = ops.sum(products, axis=-1, keepdims=True)
        score /= math.sqrt(self.config.items.model_dim)
        return ops.concatenate([products, score], axis=-1)
