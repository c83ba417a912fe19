"""One Transformer over events, the request and the candidates."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from jd_tf.layers import TransformerBlock
from jd_tf.layers.sequence.kept_events import layer_states
from jd_tf.models.base import Tensors
from jd_tf.models.registry import register_model
from jd_tf.models.sequence.sequence_config import TimelineRankerConfig
from jd_tf.models.sequence.timeline_ranker import TimelineRanker


@register_model("one_trans", TimelineRankerConfig)
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
    none could be appended. Behaviours are merged into one timeline. Arguments,
    call arguments and outputs are those of `RankingModel`.

    Example:
    >>> from jd_tf.models import get_model
    >>> get_model("one_trans").model_class.__name__
    'OneTrans'

    References:
        OneTrans: Unified Feature Interaction and Sequence Modeling with One
        Transformer in Industrial Recommender. Zhang et al., WWW 2026.
    """

    config_class = TimelineRankerConfig

    def make_stack(self) -> None:
        self.event_blocks = self._blocks("event")
        self.request_blocks = self._blocks("request")
        self.candidate_blocks = self._blocks("candidate")
        self.request_map = keras.layers.Dense(
            self.config.items.model_dim,
            name="request_map",
            dtype=self.dtype_policy,
        )
        self.make_candidate_map()

    def _blocks(self, kind: str) -> list[TransformerBlock]:
        stack = self.config.stack
        return [
            TransformerBlock(
                stack.num_heads,
                stack.feedforward_dim,
                self.config.head.dropout_rate,
                causal=True,
                num_distances=self.window + 2,
                name=f"{kind}_block_{number}",
                dtype=self.dtype_policy,
            )
            for number in range(stack.num_layers)
        ]

    def build_stack(self) -> int:
        dim = self.config.items.model_dim
        for block in (
            *self.event_blocks,
            *self.request_blocks,
            *self.candidate_blocks,
        ):
            block.build((None, None, dim))
        self.request_map.build((None, self.context_encoder.output_dim))
        self.build_candidate_map()
        return dim

    def extend_stack(
        self, tokens: Any, timeline: Tensors, kept: list[Any], training: bool
    ) -> tuple[Any, list[dict[str, Any]]]:
        length, before = timeline["length"], timeline["kept_length"]
        blocks, states = self.event_blocks, []
        for block, old in zip(
            blocks, kept or [None] * len(blocks), strict=True
        ):
            tokens, state = block.extend(
                tokens, length, old, before, self.window, training=training
            )
            states.append(state)
        return self.last_norm(tokens), states

    def read_user(
        self,
        tokens: Any,
        numbers: Sequence[Any],
        user_state: Tensors,
        context: Any,
        training: bool = False,
    ) -> list[Any]:
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
            one = ops.ones_like(length)
            request, state = request_block.extend(
                request, one, state, length, training=training
            )
            candidates = candidate_block.read(
                candidates, **state, length=length + 1, training=training
            )
        return [self.last_norm(candidates + request)]
