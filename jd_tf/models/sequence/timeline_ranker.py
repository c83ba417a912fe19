"""A base of causal rankers that read all behaviours as one timeline."""

from collections.abc import Sequence
from typing import Any

from keras import ops

from jd_tf.layers import TemporalEncoding
from jd_tf.layers.masking import length_mask
from jd_tf.layers.sequence.event_times import seconds_between
from jd_tf.layers.sequence.kept_events import (
    flat_states,
    join_events,
    layer_states,
    merge_events,
)
from jd_tf.models.base import APPEND_PREFIX, STATE_PREFIX, Tensors
from jd_tf.models.blocks.event_ages import newest_time
from jd_tf.models.blocks.event_encoder import NUM_AGE_BUCKETS, EventEncoder
from jd_tf.models.blocks.item_encoder import ItemEncoder
from jd_tf.models.multi_task_ranker import MultiTaskRanker
from jd_tf.models.sequence.sequence_config import TimelineRankerConfig


class TimelineRanker(MultiTaskRanker):
    """Encodes all events in the order of their times, once, causally.

    All that models of one kind share: they differ in their stack.

        events of all behaviours ─ item + behaviour + details ─ by time
            ─ gaps ─ stack ─ interest, keys and values
        candidate q, dense features ─ read of the stack ─ r(q)

        user       [interest: what the stack made of the newest event | request]
        candidate  [q | r(q) | dense features]

    An event attends to itself and to older ones, and places and times are
    read as differences alone: so nothing of a kept event changes when a newer
    one comes, and `append_events` encodes the new ones only. That is a tenth
    of the products of 20 events, or less. At one time, events of an earlier
    behaviour of the schema count as newer.

    A subclass implements `make_stack`, `build_stack`, `extend_stack` and
    `read_stack`; its config extends `TimelineRankerConfig`. Arguments, call
    arguments and outputs are those of `RankingModel`.

    Example:
    >>> from jd_tf.models import get_model
    >>> issubclass(get_model("sas_rec").model_class, TimelineRanker)
    True
    """

    config_class = TimelineRankerConfig

    # What a model implements ------------------------------------------------

    def make_stack(self) -> None:
        """Makes the layers that events and candidates go through."""
        raise NotImplementedError

    def build_stack(self) -> int:
        """Builds them; returns the width of what `read_stack` returns."""
        raise NotImplementedError

    def extend_stack(
        self,
        tokens: Any,
        timeline: Tensors,
        kept: Sequence[Any],
        training: bool = False,
    ) -> tuple[Any, list[dict[str, Any]]]:
        """Encodes new events, given what was kept of older ones.

        Args:
            tokens: (B, K, D) float. New events, newest first.
            timeline: `event_time` (B, L) int64 and `length` (B,) of all
                events, `new_length` and `kept_length` (B,).
            kept: `keys` and `values` of each layer; () for none.
            training: whether dropout is active.

        Returns:
            The memory (B, K, D) of new events, and keys and values of all.
        """
        raise NotImplementedError

    def read_stack(
        self,
        tokens: Any,
        numbers: Sequence[Any],
        user_state: Tensors,
        context: Any,
        training: bool = False,
    ) -> Any:
        """Returns what candidates read of the user state, (B, N, F).

        Args:
            tokens: (B, N, D) float. Candidates.
            numbers: their dense features (B, N, F), if any.
            user_state: `interest` (B, D), `event_time` (B, L), `length` (B,)
                and keys and values of each layer, if `reads_events`.
            context: of `encode_request`.
            training: whether dropout is active.
        """
        raise NotImplementedError

    @property
    def reads_events(self) -> bool:
        """Returns whether candidates read events, or the interest alone."""
        return True

    # The contract -----------------------------------------------------------

    @property
    def can_append(self) -> bool:
        return True

    @property
    def window(self) -> int:
        """Events that are read at most."""
        total = sum(b.max_length for b in self.schema.behaviors)
        return min(self.config.timeline.max_events or total, total)

    @property
    def numbers_dim(self) -> int:
        """Width of a candidate's dense features, as experts read them."""
        width = 1 + self.config.items.numeric_embedding_dim
        return len(self.schema.item_dense) * width

    def make_layers(self) -> None:
        schema, items = self.schema, self.config.items
        timeline, shared = self.config.timeline, {"dtype": self.dtype_policy}
        self.item_encoder = ItemEncoder(
            schema.item_columns,
            len(schema.behaviors),
            items.model_dim,
            items.item_embedding_dim,
            items.feature_embedding_dim,
            name="item_encoder",
            **shared,
        )
        self.event_encoders = [
            EventEncoder(
                behavior,
                items.model_dim,
                use_position=False,
                use_recency=False,
                use_fine_grained=timeline.use_fine_grained,
                use_behavior=True,
                name=f"{behavior.name}_events",
                **shared,
            )
            for behavior in schema.behaviors
        ]
        self.gaps: Any = None
        if timeline.use_gaps:
            self.gaps = TemporalEncoding(
                1, NUM_AGE_BUCKETS, use_position=False, name="gaps", **shared
            )
        self.make_stack()
        self.make_head(len(schema.behaviors), 0)

    def build_readers(self) -> tuple[int, int]:
        """See `MultiTaskRanker`."""
        dim = self.config.items.model_dim
        for encoder in self.event_encoders:
            encoder.build()
        if self.gaps is not None:
            self.gaps.build((None, None, dim))
        self.no_history = self.add_weight((dim,), "uniform", name="no_history")
        return dim + self.build_stack(), dim

    def encode_histories(
        self, histories: Tensors, training: bool = False
    ) -> dict[str, Any]:
        state, _ = self._extend({}, histories, training)
        return state

    def append_events(
        self, append_state: Tensors, events: Tensors
    ) -> dict[str, Any]:
        kept = {
            name.removeprefix(APPEND_PREFIX): tensor
            for name, tensor in append_state.items()
        }
        state, kept = self._extend(kept, events)
        return {
            **{f"{STATE_PREFIX}{n}": tensor for n, tensor in state.items()},
            **{f"{APPEND_PREFIX}{n}": tensor for n, tensor in kept.items()},
        }

    def candidate_logits(
        self,
        user_state: Tensors,
        context: Any,
        candidates: Tensors,
        training: bool = False,
    ) -> tuple[Any, Any]:
        tokens = self.item_encoder(self.item_ids(candidates))
        numbers = []
        if self.schema.item_dense:
            numbers.append(self.item_normalization(candidates["item_dense"]))
        read = self.read_stack(tokens, numbers, user_state, context, training)
        features = ops.concatenate([tokens, read, *numbers], axis=-1)
        logits, shared = self.conditional_logits(
            user_state, context, features, training
        )
        return self.entire_space(logits), shared

    # Parts ------------------------------------------------------------------

    def _extend(
        self, kept: Tensors, histories: Tensors, training: bool = False
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Returns the user state and what is kept for new events."""
        tokens, new_times, new = self._timeline(histories, training)
        count, before = ops.shape(tokens)[1], kept.get("length", 0 * new)
        times = join_events(
            new_times, new, kept.get("event_time"), window=self.window
        )
        length = ops.minimum(new + before, self.window)
        if self.gaps is not None:
            tokens = self.gaps(tokens, _gaps(times, length)[:, :count])
        memory, states = self.extend_stack(
            tokens,
            {
                "event_time": times,
                "length": length,
                "new_length": new,
                "kept_length": before,
            },
            layer_states(kept),
            training,
        )
        # A sum of one event, or of none where no history has any.
        some = (new > 0)[:, None]
        newest = ops.sum(ops.where(some[..., None], memory[:, :1], 0.0), axis=1)
        old = ops.cast(self.no_history, newest.dtype)
        if "interest" in kept:
            kept_interest = ops.cast(kept["interest"], newest.dtype)
            old = ops.where((before > 0)[:, None], kept_interest, old)
        interest = ops.where(some, newest, old)
        kept_now = {
            **flat_states(states),
            "event_time": times,
            "length": length,
            "interest": interest,
        }
        of_behaviors = self._of_behaviors(kept, histories)
        session = {}
        if self.fusion is not None and not training:
            session = self._session_columns(kept, histories)
        shared = self.shared_state(
            {**session, **of_behaviors},
            [interest],
            [{} for _ in self.schema.behaviors],
            training,
        )
        state = kept_now if self.reads_events else {"interest": interest}
        return (
            {**state, **of_behaviors, **shared},
            {**kept_now, **of_behaviors, **session},
        )

    def _timeline(self, histories: Tensors, training: bool) -> tuple:
        """Returns tokens, times and the length of new events, by time."""
        tokens, times, lengths = [], [], []
        for number, behavior in enumerate(self.schema.behaviors, 1):
            name, encoder = behavior.name, self.event_encoders[number - 1]
            ids = self.item_ids(histories, f"{name}_")
            details = {
                detail: histories[f"{name}_{detail}"]
                for detail in encoder.event_details
            }
            one = self.item_encoder(ids, gate_index=number)
            tokens.append(encoder(one, details, training=training))
            times.append(histories[f"{name}_event_time"])
            lengths.append(histories[behavior.length])
        return merge_events(tokens, times, lengths, self.window)

    def _of_behaviors(self, kept: Tensors, histories: Tensors) -> dict:
        """Returns length and newest time of each behaviour."""
        state = {}
        for behavior in self.schema.behaviors:
            name, new = (
                f"{behavior.name}_newest_time",
                histories[behavior.length],
            )
            newest = newest_time(histories[f"{behavior.name}_event_time"], new)
            state[name] = ops.where(new > 0, newest, kept.get(name, newest))
            before = kept.get(behavior.length, 0 * new)
            state[behavior.length] = ops.minimum(
                new + before, behavior.max_length
            )
        return state

    def _session_columns(self, kept: Tensors, histories: Tensors) -> dict:
        """Returns what the fusion reads of events, new and kept."""
        return {
            name: join_events(
                histories[name],
                histories[behavior.length],
                kept.get(name),
                window=behavior.max_length,
            )
            for behavior in self.schema.behaviors
            for name in self.session.columns
            if name.startswith(f"{behavior.name}_") and name != behavior.length
        }


def _gaps(event_time: Any, length: Any) -> Any:
    """Returns seconds (B, L) from the event before to each, 0 for none."""
    before = ops.pad(event_time[:, 1:], [[0, 0], [0, 1]])
    known = length_mask(length - 1, ops.shape(event_time)[1])
    return ops.where(known, seconds_between(before, event_time), 0.0)
