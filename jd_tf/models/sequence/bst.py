"""A Transformer over a history and the candidate at its end."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from jd_tf.layers import TransformerEncoder
from jd_tf.layers.sequence.kept_events import flat_states, layer_states
from jd_tf.models.registry import register_model
from jd_tf.models.sequence.sequence_config import StackRankerConfig
from jd_tf.models.sequence.sequence_ranker import SequenceRanker


@register_model("bst", StackRankerConfig)
class BST(SequenceRanker):
    """Appends the candidate to the history of a Transformer.

        [h_1 ... h_L, r(q)] = Transformer([e_1 ... e_L, q])

        events ──── blocks ─ keys and values ─┐
        candidate ─ blocks ───────────────────┴─ r(q)

    The candidate attends to the events and to itself. The experts read its
    output alone: with one block, the paper's best, nothing else depends on it,
    so that keys and values of events are computed once a request; with more,
    events do not attend to the candidate. The paper flattens the outputs of
    all events; here their mean without a candidate is the user's own. Every
    behaviour is read apart. Ages count from the newest event, not from the
    request. Arguments, call arguments and outputs are those of `RankingModel`.

    Example:
    >>> from jd_tf.models import get_model
    >>> get_model("bst").model_class.__name__
    'BST'

    References:
        Behavior Sequence Transformer for E-commerce Recommendation in
        Alibaba. Chen et al., DLP-KDD 2019 (equations 1 to 8).
    """

    config_class = StackRankerConfig

    def make_reader(self, name: str) -> list[Any]:
        encoder = TransformerEncoder(
            **dataclasses.asdict(self.config.stack),
            dropout_rate=self.config.head.dropout_rate,
            name=f"{name}_transformer",
            dtype=self.dtype_policy,
        )
        return [encoder]

    def encode_events(
        self, reader: list[Any], tokens: Any, length: Any, training: bool
    ) -> tuple[dict[str, Any], Any]:
        memory, states = reader[0].extend(tokens, length, training=training)
        return flat_states(states), memory

    def read_events(
        self,
        reader: list[Any],
        candidates: Any,
        state: Mapping[str, Any],
        training: bool,
    ) -> Any:
        states, length = layer_states(state), state["length"]
        return reader[0].read(candidates, states, length, training)
