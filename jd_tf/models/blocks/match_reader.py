"""Compares candidates with a history: ids, pictures, titles."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from jd_tf.layers import ContentMatch, EventWeights, IdOverlap
from jd_tf.layers.base_layer import BaseLayer
from jd_tf.models.blocks.real_cells import compute_real


@keras.saving.register_keras_serializable(package="jd_tf")
class MatchReader(BaseLayer):
    """Compares candidates with the events of a history.

    Candidates get id-overlap features and the similarity of their picture and
    title to those of the events. Each event has weights, learned from its
    time and from how it went; numeric features of the event fade at the same
    rates. Once a history: `encode`. For each candidate: `read`, which lets the
    weights fade by the time since the newest event.

    Args:
        num_id_columns: int. Ids an item has, C.
        num_numeric: int. Numeric features A of an event, 0 for none.
        content_dims: ints. Widths of the content embeddings.
        content_match_dim: int. Width of the map in which contents are
            compared by `num_heads`; 0 leaves the comparison out.
        max_values: ints. Values W an item has at most of each id column;
            empty: one each.
        value_rows: of `IdOverlap`. All others are fields of
            `SequenceConfig`.

    Call arguments:
        details: (B, L, D) float. When events were and how they went.
        age_seconds: (B, L) float32, counted from the newest event.
        numeric_features: (B, L, A) float, or None if there are none.
        length: (B,) integer. Real events.
        rows: (B, L, W) integer. Table rows of the events' ids.
        candidate_rows: (B, N, W) integer. Of the candidates' ids.
        content_embeddings: a pair for each of `content_dims`: vectors
            (B, L, M) float and (B, L) bool, which events have one.
        candidate_contents: likewise (B, N, M) and (B, N).
        since_seconds: (B,) float32. Age of the newest event, below 0 where
            there is none; left out, it is 0.

    Returns:
        (B, N, `output_dim`) float.

    Example:
    >>> MatchReader(num_id_columns=2, num_event_weights=0).output_dim
    6
    """

    def __init__(
        self,
        num_id_columns: int,
        num_numeric: int = 0,
        use_overlap: bool = True,
        use_position: bool = True,
        use_recency: bool = True,
        num_event_weights: int = 4,
        content_dims: Sequence[int] = (),
        content_match_dim: int = 0,
        num_heads: int = 4,
        max_values: Sequence[int] = (),
        value_rows: Sequence[int] = (),
        **kwargs: Any,
    ):
        # Ages in seconds overflow half precision after 18 hours.
        super().__init__(**{**kwargs, "autocast": False})
        self.keep(locals())
        shared = {"dtype": self.dtype_policy}
        self.id_overlap = None
        if use_overlap:
            self.id_overlap = IdOverlap(
                use_position,
                self.max_values,
                self.value_rows,
                name="id_overlap",
                **shared,
            )
        self.content_matches = [
            ContentMatch(
                content_match_dim,
                num_heads,
                name=f"content_match_{number}",
                **shared,
            )
            for number, _ in enumerate(self.content_dims)
            if content_match_dim
        ]
        self.event_weights = None
        if num_event_weights and (use_overlap or self.content_matches):
            self.event_weights = EventWeights(
                num_event_weights, name="event_weights", **shared
            )

    @property
    def num_learned(self) -> int:
        """Learned weights V of an event; 0 without any."""
        return self.num_event_weights if self.event_weights else 0

    @property
    def fades(self) -> bool:
        """Returns whether weights of events decay with their age."""
        return self.event_weights is not None and self.use_recency

    @property
    def output_dim(self) -> int:
        """Width of the features of a candidate."""
        learned = self.num_learned
        width = sum(m.num_features(learned) for m in self.content_matches)
        if self.id_overlap is not None:
            values = learned * (1 + self.num_numeric)
            features = self.id_overlap.num_features(values)
            width += features * self.num_id_columns
        return width

    def build(
        self, details_shape: tuple, candidate_rows_shape: Any = None
    ) -> None:
        if self.event_weights is not None:
            events = (None, None)
            self.event_weights.build(
                details_shape,
                events if self.use_recency else None,
                (*events, self.num_numeric) if self.num_numeric else None,
            )
        if self.id_overlap is not None:
            width = sum(self.max_values) or self.num_id_columns
            ids = (None, None, width)
            self.id_overlap.build(ids, ids)
        for number, match in enumerate(self.content_matches):
            match.build((None, None, self.content_dims[number]))

    def encode(
        self,
        details: Any,
        age_seconds: Any,
        numeric_features: Any,
        length: Any,
        rows: Any,
        content_embeddings: Sequence[tuple[Any, Any]] = (),
        training: bool = False,
    ) -> dict[str, Any]:
        """Weighs events and sums their contents up, once a history.

        Returns what `read` needs, if it is matched: `rows` (B, W, L), those
        of no id replaced, `overlap_weights` (B, L, features), what an event
        adds to each feature, `content_0`, `content_1`, ... (B, V, K), and
        with learned weights `content_total_0`, ... (B, V), their sums, and
        for others `event_weights` (B, L, V).
        """
        state, values, learned = {}, None, None
        if self.event_weights is not None:
            ages = age_seconds if self.use_recency else None
            values = compute_real(
                self.event_weights,
                length,
                training,
                details,
                ages,
                numeric_features,
            )
            learned = values[..., : self.num_event_weights]
            state["event_weights"] = learned
        if self.id_overlap is not None:
            events = self.id_overlap.encode_history(rows, length, values)
            state["rows"] = events["ids"]
            state["overlap_weights"] = events["weights"]
        for number, match in enumerate(self.content_matches):
            profile, total = match.encode_history(
                *content_embeddings[number], length, learned
            )
            state[f"content_{number}"] = profile
            if self.fades:
                state[f"content_total_{number}"] = total
        return state

    def read(
        self,
        candidate_rows: Any,
        length: Any,
        state: Mapping[str, Any],
        content_embeddings: Sequence[tuple[Any, Any]] = (),
        since_seconds: Any = None,
    ) -> list[Any]:
        """Returns tensors (B, N, ...) float, `output_dim` wide together."""
        found, factors = [], None
        if self.event_weights and self.fades and since_seconds is not None:
            factors = self.event_weights.fade(since_seconds)
        if self.id_overlap is not None:
            events = state["rows"], state["overlap_weights"], length
            values = factors
            if factors is not None:
                values = ops.tile(factors, (1, 1 + self.num_numeric))
            found.append(self.id_overlap.match(candidate_rows, *events, values))
        for number, match in enumerate(self.content_matches):
            profile = state[f"content_{number}"]
            if factors is not None:
                total = state[f"content_total_{number}"]
                profile = match.fade(profile, total, factors)
            found.append(match.match(*content_embeddings[number], profile))
        return found

    def call(
        self,
        details: Any,
        age_seconds: Any,
        numeric_features: Any,
        length: Any,
        rows: Any,
        candidate_rows: Any,
        content_embeddings: Sequence[tuple[Any, Any]] = (),
        candidate_contents: Sequence[tuple[Any, Any]] = (),
        since_seconds: Any = None,
    ) -> Any:
        state = self.encode(
            details,
            age_seconds,
            numeric_features,
            length,
            rows,
            content_embeddings,
        )
        found = self.read(
            candidate_rows, length, state, candidate_contents, since_seconds
        )
        return ops.concatenate(found, axis=-1)

    def compute_output_shape(
        self, details_shape: tuple, candidate_rows_shape: Any = None
    ) -> tuple:
        return (*candidate_rows_shape[:2], self.output_dim)
