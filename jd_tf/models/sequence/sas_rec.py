"""Self-attention over the past, and a product with the candidate."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from keras import ops

from jd_tf.layers import TransformerEncoder
from jd_tf.models.base import Tensors
from jd_tf.models.registry import register_model
from jd_tf.models.sequence.sequence_config import TimelineRankerConfig
from jd_tf.models.sequence.timeline_ranker import TimelineRanker


@register_model("sas_rec", TimelineRankerConfig)
class SASRec(TimelineRanker):
    """Ranks by the product of a candidate and what the newest event became.

        h = causal Transformer(events),   u = h of the newest event
        r(q) = [u * q, u q / sqrt(D)]

        events of all behaviours by time ─ causal blocks ─ u ─┐
        candidate q ──────────────────────────────────────────┴─ r(q)

    The product alone is the paper's score of the next item; here it is read,
    beside its terms, by the experts of every objective. Behaviours are merged
    into one timeline. Places are learned as scores of the distance between two
    events: a vector of each place, which the paper adds, would change with
    every new event. The user state is one vector, beside ids for overlaps.
    Arguments, call arguments and outputs are those of `RankingModel`.

    Example:
    >>> from jd_tf.models import get_model
    >>> get_model("sas_rec").model_class.__name__
    'SASRec'

    References:
        Self-Attentive Sequential Recommendation. Kang and McAuley, ICDM 2018.
    """

    config_class = TimelineRankerConfig
    reads_events = False

    def make_stack(self) -> None:
        self.transformer = TransformerEncoder(
            **dataclasses.asdict(self.config.stack),
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
        self, tokens: Any, timeline: Tensors, kept: list[Any], training: bool
    ) -> tuple[Any, list[dict[str, Any]]]:
        lengths = timeline["length"], kept, timeline["kept_length"]
        return self.transformer.extend(
            tokens, *lengths, self.window, training=training
        )

    def read_user(
        self,
        tokens: Any,
        numbers: Sequence[Any],
        user_state: Tensors,
        context: Any,
        training: bool = False,
    ) -> list[Any]:
        interest = ops.cast(user_state["interest"], tokens.dtype)[:, None]
        products = tokens * interest
        score = ops.sum(products, axis=-1, keepdims=True)
        return [products, score / math.sqrt(self.config.items.model_dim)]
