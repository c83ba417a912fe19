"""One behaviour's history, from tokens to what candidates read of it."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from jd_tf.layers import (
    InterestCrossing,
    TargetAttentionDecoder,
    TemporalEncoding,
    TransformerEncoder,
)
from jd_tf.layers.base_layer import BaseLayer
from jd_tf.models.blocks.dense_differences import (
    dense_differences,
    real_numbers,
)
from jd_tf.models.blocks.event_encoder import (
    add_fine_grained,
    encode_details,
    event_details,
)
from jd_tf.models.blocks.match_reader import MatchReader
from jd_tf.schema import Behavior


@keras.saving.register_keras_serializable(package="jd_tf")
class BehaviorReader(BaseLayer):
    """Encodes a history once and lets candidates read it.

    Tokens get their time and fine-grained behaviour, a Transformer encodes
    them, and interests of first and second order sum them up: `encode`. The
    second order enters by a gain of each dimension, learned from 0 on.
    Candidates read the memory by target attention, meet the first-order
    interest element-wise, and are compared with the events: `read`. Without
    `use_sequence` they are only compared.

    Args:
        behavior: of the schema, or its dict.
        num_id_columns: int. Ids an item has, C.
        model_dim: int. Width D of tokens and memories.
        content_dims, content_match_dim, max_values, value_rows: of the
            `MatchReader`.
        dropout_rate: of encoder and decoder; all others are fields of
            `SequenceConfig`.

    Call arguments:
        tokens: (B, L, D) float, newest first; not read without
            `use_sequence`.
        events: dict of `age_seconds` (B, L), counted from the newest event,
            and the columns of `event_details`, named without the behaviour;
            `item_dense` (B, L, F), if any, normalised.
        length: (B,) integer. Real events.
        rows: (B, L, W) integer. Table rows of the events' ids.
        candidates: (B, N, D) float.
        candidate_rows: (B, N, W) integer. Table rows of the candidates' ids.
        content_embeddings: a pair for each of `content_dims`: vectors
            (B, L, V) float and (B, L) bool, which events have one.
        candidate_contents: likewise (B, N, V) and (B, N).
        since_seconds: (B,) float32. Age of the newest event, below 0 where
            there is none; left out, it is 0.
        candidate_dense: (B, N, F) float. The candidates' `item_dense`.
        training: bool. Whether dropout is active.

    Returns:
        What `read` returns, side by side: (B, N, `reading_dim`) float.

    Example:
    >>> from jd_tf.schema import Behavior
    >>> BehaviorReader(Behavior("click", 50), 2, model_dim=8).interest_dim
    16
    """

    def __init__(
        self,
        behavior: Behavior | Mapping[str, Any],
        num_id_columns: int,
        model_dim: int,
        use_sequence: bool = True,
        num_encoder_layers: int = 1,
        num_heads: int = 4,
        feedforward_dim: int = 128,
        decoder_feedforward_dim: int = 0,
        num_age_buckets: int = 64,
        use_position: bool = True,
        use_recency: bool = True,
        use_second_order: bool = True,
        use_dwell: bool = True,
        use_action_counts: bool = True,
        use_action_ids: bool = True,
        use_item_dense: bool = True,
        use_overlap: bool = True,
        num_event_weights: int = 4,
        content_dims: Sequence[int] = (),
        content_match_dim: int = 0,
        dropout_rate: float = 0.0,
        max_values: Sequence[int] = (),
        value_rows: Sequence[int] = (),
        **kwargs: Any,
    ):
        # Ages in seconds overflow half precision after 18 hours.
        super().__init__(**{**kwargs, "autocast": False})
        if not isinstance(behavior, Behavior):
            behavior = Behavior(**behavior)
        self.keep(locals())
        # Events that have neither time nor details are only counted.
        weighed = use_position or use_recency or self.event_details
        self.match_reader = MatchReader(
            num_id_columns,
            self.num_numeric,
            use_overlap,
            use_position,
            use_recency,
            num_event_weights if weighed or self.num_dense else 0,
            content_dims,
            content_match_dim,
            num_heads,
            self.max_values,
            self.value_rows,
            dtype=self.dtype_policy,
            name="match_reader",
        )

    @property
    def event_details(self) -> dict[str, int]:
        """Fine-grained columns that are read: name to inner width, or 0."""
        return event_details(
            self.behavior,
            self.use_dwell,
            self.use_action_counts,
            self.use_action_ids,
        )

    @property
    def num_numeric(self) -> int:
        """Numeric features A of an event: dwell and counted actions."""
        details = self.event_details
        return ("dwell_seconds" in details) + details.get("action_counts", 0)

    @property
    def num_dense(self) -> int:
        """Dense features F of an event's item that are read."""
        return self.use_item_dense * len(self.behavior.item_dense)

    @property
    def interest_dim(self) -> int:
        """Width of the interests that `encode` returns."""
        return self.use_sequence * self.model_dim * (1 + self.use_second_order)

    @property
    def reading_dim(self) -> int:
        """Width of what `read` returns of each candidate."""
        width = 2 * self.model_dim if self.use_sequence else 0
        width += 3 * self.num_dense
        return width + self.match_reader.output_dim

    def build(
        self, tokens_shape: Any = None, candidates_shape: Any = None
    ) -> None:
        histories = (None, None, self.model_dim)
        # Whether anything reads when events were and how they went.
        weighed = self.match_reader.event_weights is not None
        detailed = self.use_sequence or weighed
        self.temporal_encoding = None
        if detailed and (self.use_position or self.use_recency):
            self.temporal_encoding = self.add_part(
                TemporalEncoding,
                "temporal_encoding",
                histories,
                self.behavior.max_length,
                self.num_age_buckets,
                use_position=self.use_position,
                use_recency=self.use_recency,
            )
        self.fine_grained = None
        if detailed:
            self.fine_grained = add_fine_grained(
                self, self.behavior, self.event_details
            )
        self.dense_map = None
        if self.num_dense and detailed:
            self.dense_map = self.add_dense(
                "dense_map", self.num_dense, self.model_dim
            )
        if self.use_sequence:
            self.encoder = self.add_part(
                TransformerEncoder,
                "encoder",
                histories,
                self.num_encoder_layers,
                self.num_heads,
                self.feedforward_dim,
                self.dropout_rate,
            )
            self.interest_crossing = self.add_part(
                InterestCrossing, "interest_crossing", histories
            )
            if self.use_second_order:
                # From 0 on, it costs nothing where it brings nothing; read as
                # it is, it cost clicks and carts (decision record 062).
                self.second_order_gain = self.add_weight(
                    (self.model_dim,), "zeros", name="second_order_gain"
                )
            self.decoder = self.add_part(
                TargetAttentionDecoder,
                "decoder",
                {"queries_shape": histories, "memory_shape": histories},
                self.num_heads,
                self.decoder_feedforward_dim,
                self.dropout_rate,
            )
        self.match_reader.build(histories)

    def encode(
        self,
        tokens: Any,
        events: Mapping[str, Any],
        length: Any,
        rows: Any,
        content_embeddings: Sequence[tuple[Any, Any]] = (),
        training: bool = False,
    ) -> tuple[dict[str, Any], Any]:
        """Encodes a history, once; arguments are those of the call.

        Returns what `read` needs, a dict of `keys` and `values`
        (B, H, L, D / H), `interest` (B, D), `length` (B,) and what
        `MatchReader` and `dense_differences` need; and the interests,
        (B, `interest_dim`). Without `use_sequence` the first three are left
        out.
        """
        shape = ops.shape(events["age_seconds"])
        details = ops.zeros((*shape, self.model_dim), self.compute_dtype)
        if self.temporal_encoding is not None:
            details = self.temporal_encoding(details, events["age_seconds"])
        read = {name: events[name] for name in self.event_details}
        if self.fine_grained is not None:
            details = encode_details(
                self.fine_grained, details, read, length, training
            )
        dense = {}
        if self.num_dense:
            numbers = ops.cast(events["item_dense"], self.compute_dtype)
            numbers, mean = real_numbers(numbers, length)
            if self.dense_map is not None:
                details += self.dense_map(numbers)
            dense = {"item_dense": numbers, "item_dense_mean": mean}
        numeric = []
        if "dwell_seconds" in read:
            numeric.append(read["dwell_seconds"][..., None])
        if "action_counts" in read:
            numeric.append(read["action_counts"])
        state = {
            **dense,
            **self.match_reader.encode(
                details,
                events["age_seconds"],
                ops.concatenate(numeric, axis=-1) if numeric else None,
                length,
                rows,
                content_embeddings,
                training,
            ),
            "length": length,
        }
        if not self.use_sequence:
            return state, ops.zeros((shape[0], 0), self.compute_dtype)
        memory = self.encoder(tokens + details, length, training=training)
        crossed = self.interest_crossing(memory, length)
        interests = crossed["first_order"]
        state |= self.decoder.encode_memory(memory)
        state["interest"] = interests
        if self.use_second_order:
            gain = ops.cast(self.second_order_gain, self.compute_dtype)
            second = gain * crossed["second_order"]
            interests = ops.concatenate([interests, second], axis=-1)
        return state, interests

    def read(
        self,
        candidates: Any,
        candidate_rows: Any,
        state: Mapping[str, Any],
        content_embeddings: Sequence[tuple[Any, Any]] = (),
        since_seconds: Any = None,
        candidate_dense: Any = None,
        training: bool = False,
    ) -> list[Any]:
        """Returns tensors (B, N, ...) float, `reading_dim` wide together.

        `state` is of `encode`; contents are the candidates'; other arguments
        are those of the call.
        """
        length = state["length"]
        matches = self.match_reader.read(
            candidate_rows, length, state, content_embeddings, since_seconds
        )
        if self.num_dense:
            past = state["item_dense"], state["item_dense_mean"]
            matches.append(dense_differences(candidate_dense, *past, length))
        if not self.use_sequence:
            return matches
        read = self.decoder.attend(
            candidates, state["keys"], state["values"], length, training
        )
        met = candidates * ops.expand_dims(state["interest"], 1)
        return [read, met, *matches]

    def attention_weights(
        self, candidates: Any, state: Mapping[str, Any]
    ) -> Any:
        """Returns how much candidates attend to events, (B, H, N, L)."""
        return self.decoder.attention_weights(
            candidates, state["keys"], state["length"]
        )

    def call(
        self,
        tokens: Any,
        events: Mapping[str, Any],
        length: Any,
        rows: Any,
        candidates: Any,
        candidate_rows: Any,
        content_embeddings: Sequence[tuple[Any, Any]] = (),
        candidate_contents: Sequence[tuple[Any, Any]] = (),
        since_seconds: Any = None,
        candidate_dense: Any = None,
        training: bool = False,
    ) -> Any:
        # In a model both are of this type already.
        tokens = ops.cast(tokens, self.compute_dtype)
        candidates = ops.cast(candidates, self.compute_dtype)
        state, _ = self.encode(
            tokens, events, length, rows, content_embeddings, training
        )
        found = self.read(
            candidates,
            candidate_rows,
            state,
            candidate_contents,
            since_seconds,
            candidate_dense,
            training,
        )
        return ops.concatenate(found, axis=-1)

    def compute_output_shape(
        self, tokens_shape: Any, candidates_shape: Any = None
    ) -> tuple:
        return (*candidates_shape[:2], self.reading_dim)
