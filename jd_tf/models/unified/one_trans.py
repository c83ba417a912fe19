"""One Transformer over events, the request and the candidates."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from jd_tf.layers import TransformerBlock
from jd_tf.layers.sequence.kept_events import layer_states
from jd_tf.models.base import Tensors
from jd_tf.models.registry import register_model
from jd_tf.models.sequence.sequence_config import (
    TimelineRankerConfig,
    TransformerConfig,
)
from jd_tf.models.sequence.timeline_ranker import TimelineRanker


@dataclasses.dataclass(frozen=True)
class OneTransConfig(TimelineRankerConfig):
    """Sizes of `OneTrans`.

    Attributes:
        transformer: of events, request and candidates alike.

    Example:
    >>> OneTransConfig.of(num_layers=3).transformer.num_layers
    3
    """

    transformer: TransformerConfig = dataclasses.field(
        default_factory=lambda: TransformerConfig(num_layers=2)
    )


@register_model("one_trans", OneTransConfig)
class OneTrans(TimelineRanker):
    """Models sequences and crosses features in one causal stack.

        [events, request, q] = blocks([events, request, q]), each with its
        own attention and feed-forward weights; r(q) = norm(q + request)

        events of all behaviours by time ─ blocks of events ─ keys, values ─┐
        context, ages, session ─ blocks of the request ─ keys, values ──────┤
        candidate [q | dense features] ─ blocks of candidates ──────────────┴─

    Events share weights, and what is no event has its own. The request sees
    all events, once a request; a candidate sees events, request and itself,
    and no other candidate. Keys and values of events are the user state. The
    paper makes several tokens of request and candidate and narrows the events
    from layer to layer: with every new event other ones would be left, and
    none could be appended. Behaviours are merged into one timeline, each
    event with a vector of its behaviour. Arguments, call arguments and outputs
    are those of `RankingModel`.

    Example:
    >>> from jd_tf.models import get_model
    >>> get_model("one_trans").model_class.__name__
    'OneTrans'

    References:
        OneTrans: Unified Feature Interaction and Sequence Modeling with One
        Transformer in Industrial Recommender. Zhang et al., WWW 2026.
    """

    config_class = OneTransConfig

    def make_stack(self) -> None:
        sizes, shared = self.config.transformer, {"dtype": self.dtype_policy}

        def blocks(kind: str) -> list[TransformerBlock]:
            return [
                TransformerBlock(
                    sizes.num_heads,
                    sizes.feedforward_dim,
                    self.config.head.dropout_rate,
                    causal=True,
                    num_distances=self.window + 2,
                    name=f"{kind}_block_{number}",
                    **shared,
                )
                for number in range(sizes.num_layers)
            ]

        self.event_blocks = blocks("event")
        self.request_blocks = blocks("request")
        self.candidate_blocks = blocks("candidate")
        dim, norm = self.config.items.model_dim, keras.layers.LayerNormalization
        self.request_map = keras.layers.Dense(dim, name="request_map", **shared)
        self.candidate_map = keras.layers.Dense(
            dim, name="candidate_map", **shared
        )
        self.last_norm = norm(epsilon=1e-6, name="last_norm", **shared)

    def build_stack(self) -> int:
        dim = self.config.items.model_dim
        for blocks in (
            self.event_blocks,
            self.request_blocks,
            self.candidate_blocks,
        ):
            for block in blocks:
                block.build((None, None, dim))
        self.request_map.build((None, self.context_encoder.output_dim))
        self.candidate_map.build((None, None, dim + self.numbers_dim))
        self.last_norm.build((None, None, dim))
        return dim

    def extend_stack(
        self,
        tokens: Any,
        timeline: Tensors,
        kept: Sequence[Any],
        training: bool = False,
    ) -> tuple[Any, list[dict[str, Any]]]:
        states = []
        for block, old in zip(
            self.event_blocks,
            kept or [None] * len(self.event_blocks),
            strict=True,
        ):
            tokens, state = block.extend(
                tokens,
                timeline["new_length"],
                old,
                timeline["kept_length"],
                self.window,
                training,
            )
            states.append(state)
        return self.last_norm(tokens), states

    def read_stack(
        self,
        tokens: Any,
        numbers: Sequence[Any],
        user_state: Tensors,
        context: Any,
        training: bool = False,
    ) -> Any:
        length = user_state["length"]
        request = self.request_map(context["encoded"])[:, None]
        inputs = ops.concatenate([tokens, *numbers], axis=-1)
        candidates = self.candidate_map(inputs)
        for state, request_block, candidate_block in zip(
            layer_states(user_state),
            self.request_blocks,
            self.candidate_blocks,
            strict=True,
        ):
            # The request becomes the newest event, for its candidates alone.
            request, state = request_block.extend(
                request,
                ops.ones_like(length),
                state,
                length,
                training=training,
            )
            candidates = candidate_block.read(
                candidates, **state, length=length + 1, training=training
            )
        return self.last_norm(candidates + request)
