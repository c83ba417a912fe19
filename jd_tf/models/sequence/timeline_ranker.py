"""A base of causal rankers that read all behaviours as one timeline."""

from typing import Any

import keras
from keras import ops

from jd_tf.layers import TemporalEncoding
from jd_tf.layers.sequence.kept_events import (
    flat_states,
    join_events,
    layer_states,
    merge_events,
)
from jd_tf.models.base import APPEND_PREFIX, STATE_PREFIX, Tensors
from jd_tf.models.blocks.event_ages import newest_time, seconds_before
from jd_tf.models.blocks.event_encoder import NUM_AGE_BUCKETS
from jd_tf.models.sequence.event_ranker import EventRanker
from jd_tf.models.sequence.sequence_config import TimelineRankerConfig


class TimelineRanker(EventRanker):
    """Encodes all events in the order of their times, once, causally.

        events of all behaviours ─ item + behaviour + details ─ by time
            ─ gaps ─ stack ─ interest, keys and values
        candidate q, dense features ─ read of the stack ─ r(q)

        user       [interest: what the stack made of the newest event | request]
        candidate  [q | r(q) | overlaps | dense features]

    An event attends to itself and to older ones, and places and times are
    read as differences alone: so nothing of a kept event changes when a newer
    one comes, and `append_events` encodes the new ones only. At one time,
    events of an earlier behaviour of the schema count as newer.

    A subclass makes its stack in `make_stack`, builds it in `build_stack`,
    which returns the width of what `read_user` returns, and implements
    `extend_stack` and `read_user`. Arguments, call arguments and outputs are
    those of `RankingModel`.

    Example:
    >>> from jd_tf.models import get_model
    >>> issubclass(get_model("sas_rec").model_class, TimelineRanker)
    True
    """

    config_class = TimelineRankerConfig
    can_append = True
    # Whether candidates read events, or the interest alone.
    reads_events = True

    def make_stack(self) -> None:
        """Makes the layers that events and candidates go through."""
        raise NotImplementedError

    def build_stack(self) -> int:
        """Builds them; returns the width of what candidates read."""
        raise NotImplementedError

    def extend_stack(
        self, tokens: Any, timeline: Tensors, kept: list[Any], training: bool
    ) -> tuple[Any, list[dict[str, Any]]]:
        """Encodes new events, given what was kept of older ones.

        Args:
            tokens: (B, K, D) float. New events, newest first.
            timeline: `event_time` (B, L) int64 of all events, `length` and
                `kept_length` (B,) of the new and of the older ones.
            kept: `keys` and `values` of each layer, or none.
            training: whether dropout is active.

        Returns:
            The memory (B, K, D) of new events, and keys and values of all.
        """
        raise NotImplementedError

    @property
    def window(self) -> int:
        """Events that are read at most."""
        total = sum(b.max_length for b in self.schema.behaviors)
        return min(self.config.timeline.max_events or total, total)

    def make_layers(self) -> None:
        timeline = self.config.timeline
        self.make_encoders(
            timeline.use_overlap,
            use_position=False,
            use_recency=False,
            use_fine_grained=timeline.use_fine_grained,
            use_behavior=True,
        )
        self.gaps: Any = None
        if timeline.use_gaps:
            self.gaps = TemporalEncoding(
                1,
                NUM_AGE_BUCKETS,
                use_position=False,
                name="gaps",
                dtype=self.dtype_policy,
            )
        self.make_stack()
        self.make_head(len(self.schema.behaviors), 0)

    def make_candidate_map(self) -> None:
        """Makes a map of candidates' tokens and numbers into the stack."""
        dim, shared = self.config.items.model_dim, {"dtype": self.dtype_policy}
        self.candidate_map = keras.layers.Dense(
            dim, name="candidate_map", **shared
        )
        self.last_norm = keras.layers.LayerNormalization(
            epsilon=1e-6, name="last_norm", **shared
        )

    def build_candidate_map(self) -> None:
        """Builds what `make_candidate_map` makes."""
        items, num_dense = self.config.items, len(self.schema.item_dense)
        width = num_dense * (1 + items.numeric_embedding_dim) + self.overlap_dim
        self.candidate_map.build((None, None, items.model_dim + width))
        self.last_norm.build((None, None, items.model_dim))

    def build_readers(self) -> tuple[int, int]:
        """See `MultiTaskRanker`."""
        dim = self.config.items.model_dim
        for encoder in self.event_encoders:
            encoder.build()
        if self.gaps is not None:
            self.gaps.build((None, None, dim))
        self.no_history = self.add_weight((dim,), "uniform", name="no_history")
        self.build_id_overlap()
        return dim + self.build_stack() + self.overlap_dim, dim

    def encode_histories(
        self, histories: Tensors, training: bool = False
    ) -> dict[str, Any]:
        return self._extend({}, histories, training)[0]

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

    def _extend(
        self, kept: Tensors, histories: Tensors, training: bool = False
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Returns the user state and what is kept for new events."""
        behaviors, window = self.schema.behaviors, self.window
        tokens, new_times, new = merge_events(
            [
                self.event_tokens(number, histories, training=training)
                for number in range(len(behaviors))
            ],
            [histories[f"{b.name}_event_time"] for b in behaviors],
            [histories[b.length] for b in behaviors],
            window,
        )
        count, before = ops.shape(tokens)[1], kept.get("length", 0 * new)
        times = kept.get("event_time")
        times = join_events(new_times, new, times, window=window)
        length = ops.minimum(new + before, window)
        if self.gaps is not None:
            tokens = self.gaps(tokens, seconds_before(times, length)[:, :count])
        memory, states = self.extend_stack(
            tokens,
            {"event_time": times, "length": new, "kept_length": before},
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
        rows, overlaps = self._rows_and_overlaps(kept, histories, of_behaviors)
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
            {**state, **of_behaviors, **overlaps, **shared},
            {**kept_now, **of_behaviors, **rows, **session},
        )

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

    def _rows_and_overlaps(
        self, kept: Tensors, histories: Tensors, of_behaviors: Tensors
    ) -> tuple[dict, dict]:
        """Returns table rows of events, new and kept, and their overlaps."""
        rows: dict[str, Any] = {}
        overlaps: dict[str, Any] = {}
        if self.id_overlap is not None:
            for behavior in self.schema.behaviors:
                name = f"{behavior.name}_event_rows"
                ids = self.item_ids(histories, f"{behavior.name}_")
                rows[name] = join_events(
                    self.item_encoder.rows(ids),
                    histories[behavior.length],
                    kept.get(name),
                    window=behavior.max_length,
                )
                overlaps |= self.overlap_state(
                    behavior.name, rows[name], of_behaviors[behavior.length]
                )
        return rows, overlaps

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
