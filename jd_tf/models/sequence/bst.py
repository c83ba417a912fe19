"""A Transformer over a history and the candidate at its end."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from jd_tf.layers import TransformerEncoder
from jd_tf.layers.sequence.kept_events import flat_states, layer_states
from jd_tf.models.registry import register_model
from jd_tf.models.sequence.sequence_config import (
    SequenceRankerConfig,
    TransformerConfig,
)
from jd_tf.models.sequence.sequence_ranker import SequenceRanker


@dataclasses.dataclass(frozen=True)
class BSTConfig(SequenceRankerConfig):
    """Sizes of `BST`.

    Attributes:
        transformer: of every behaviour; the paper's best has one block.

    Example:
    >>> BSTConfig.of(num_heads=2).transformer.num_heads
    2
    """

    transformer: TransformerConfig = dataclasses.field(
        default_factory=TransformerConfig
    )


@register_model("bst", BSTConfig)
class BST(SequenceRanker):
    """Appends the candidate to the history of a Transformer.

        [h_1 ... h_L, r(q)] = Transformer([e_1 ... e_L, q])

        events ──── blocks ─ keys and values ─┐
        candidate ─ blocks ───────────────────┴─ r(q)

    The candidate attends to the events and to itself. The experts read its
    output alone: with one block nothing else depends on it, so that keys and
    values of events are computed once a request, and with more blocks events
    do not attend to the candidate. The paper flattens the outputs of all
    events; here the mean of what they are without a candidate is the user's
    own. Every behaviour has a Transformer of its own, and all r(q) stand side
    by side. Ages count from the newest event, not from the request.
    Arguments, call arguments and outputs are those of `RankingModel`.

    Example:
    >>> from jd_tf.models import get_model
    >>> get_model("bst").model_class.__name__
    'BST'

    References:
        Behavior Sequence Transformer for E-commerce Recommendation in
        Alibaba. Chen et al., DLP-KDD 2019 (equations 1 to 8).
    """

    config_class = BSTConfig

    def make_reader(self, name: str) -> TransformerEncoder:
        return TransformerEncoder(
            **dataclasses.asdict(self.config.transformer),
            dropout_rate=self.config.head.dropout_rate,
            name=f"{name}_transformer",
            dtype=self.dtype_policy,
        )

    def build_reader(self, reader: TransformerEncoder, shape: tuple) -> None:
        reader.build(shape)

    def encode_events(
        self,
        reader: TransformerEncoder,
        tokens: Any,
        length: Any,
        training: bool = False,
    ) -> tuple[dict[str, Any], Any]:
        memory, states = reader.extend(tokens, length, training=training)
        return flat_states(states), memory

    def read_events(
        self,
        reader: TransformerEncoder,
        candidates: Any,
        state: Mapping[str, Any],
        training: bool = False,
    ) -> Any:
        return reader.read(
            candidates, layer_states(state), state["length"], training
        )
