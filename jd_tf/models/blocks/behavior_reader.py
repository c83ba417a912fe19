"""One behaviour's history, from tokens to what candidates read of it."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from jd_tf.layers import (
    FineGrainedBehaviorEncoder,
    InterestCrossing,
    TargetAttentionDecoder,
    TemporalEncoding,
    TransformerEncoder,
)
from jd_tf.models.blocks.match_reader import MatchReader
from jd_tf.models.ranking.jd_ranker_config import JDRankerConfig
from jd_tf.schema import Behavior


@keras.saving.register_keras_serializable(package="jd_tf")
class BehaviorReader(keras.layers.Layer):
    """Encodes a history once a request and lets candidates read it.

    Tokens get their time and what was done, a Transformer encodes them, and
    interests of first and second order sum them up: `encode`. Candidates
    read the memory by target attention, meet the first-order interest
    element-wise, and are told which of their ids stand in the history, how
    recent and how thorough those events were, and how much their picture
    and title are like those of the events: `read`.

    Args:
        behavior: of the schema, or its dict.
        num_id_columns: int. Ids an item has, C.
        config: sizes and switches, or their dict.
        content_dims: ints. Widths of the vectors that contents have: of
            pictures, of titles.

    Call arguments:
        tokens: (B, L, D) float, newest first.
        events: dict of the behaviour's columns without its name:
            `age_seconds`, and `dwell_seconds`, `action_counts`, `action_ids`
            where the behaviour has them.
        length: (B,) integer. Real events.
        rows: (B, L, C) integer. Table rows of the events' ids.
        candidates: (B, N, D) float.
        candidate_rows: (B, N, C) integer. Table rows of the candidates' ids.
        contents: a pair for each of `content_dims`: vectors (B, L, V) float
            and (B, L) bool, which events have one.
        candidate_contents: likewise (B, N, V) and (B, N).
        training: bool. Whether dropout is active.

    Returns:
        What `read` found, side by side: (B, N, `reading_dim`) float.
    """

    def __init__(
        self,
        behavior: Behavior | Mapping[str, Any],
        num_id_columns: int,
        config: JDRankerConfig | Mapping[str, Any],
        content_dims: Sequence[int] = (),
        **kwargs,
    ):
        # Ages in seconds overflow half precision after 18 hours.
        super().__init__(**{**kwargs, "autocast": False})
        if not isinstance(config, JDRankerConfig):
            config = JDRankerConfig(**config)
        if not isinstance(behavior, Behavior):
            behavior = Behavior(**behavior)
        self.behavior = behavior
        self.num_id_columns = num_id_columns
        self.config = config
        self.content_dims = tuple(content_dims)
        self.match_reader = MatchReader(
            num_id_columns,
            self.num_amounts,
            config,
            content_dims,
            bool(
                config.use_position or config.use_recency or self.event_details
            ),
            dtype=self.dtype_policy,
            name="match_reader",
        )

    @property
    def event_details(self) -> dict[str, int]:
        """Fine-grained columns that are read: name to inner width, or 0."""
        behavior, config = self.behavior, self.config
        counters, slots = behavior.action_counters, behavior.action_slots
        details = {}
        if not config.use_fine_grained:
            return details
        if behavior.dwell and config.use_dwell:
            details["dwell_seconds"] = 0
        if counters and config.use_action_counts:
            details["action_counts"] = len(counters)
        if slots and config.use_action_ids:
            details["action_ids"] = len(slots)
        return details

    @property
    def num_amounts(self) -> int:
        """Amounts A that are known of an event: dwell and counted actions."""
        details = self.event_details
        return ("dwell_seconds" in details) + details.get("action_counts", 0)

    @property
    def interest_dim(self) -> int:
        """Width of what `encode` tells the experts of the user."""
        return self.config.model_dim * (1 + self.config.use_second_order)

    @property
    def reading_dim(self) -> int:
        """Width of what `read` tells of each candidate."""
        return 2 * self.config.model_dim + self.match_reader.output_dim

    def build(
        self,
        tokens_shape: Any = None,
        events_shape: Any = None,
        length_shape: Any = None,
        rows_shape: Any = None,
        candidates_shape: Any = None,
        candidate_rows_shape: Any = None,
        contents_shape: Any = None,
        candidate_contents_shape: Any = None,
    ) -> None:
        config, shared = self.config, {"dtype": self.dtype_policy}
        histories = (None, None, config.model_dim)
        self.temporal_encoding = None
        if config.use_position or config.use_recency:
            self.temporal_encoding = TemporalEncoding(
                self.behavior.max_length,
                config.num_age_buckets,
                use_position=config.use_position,
                use_recency=config.use_recency,
                name="temporal_encoding",
                **shared,
            )
            self.temporal_encoding.build(histories, (None, None))
        self.fine_grained = None
        if self.event_details:
            self.fine_grained = FineGrainedBehaviorEncoder(
                self.behavior.num_action_ids,
                name="fine_grained",
                **shared,
            )
            self.fine_grained.build(
                histories,
                **{
                    f"{name}_shape": (None, None, width)[: 2 + bool(width)]
                    for name, width in self.event_details.items()
                },
            )
        self.encoder = TransformerEncoder(
            config.num_encoder_layers,
            config.num_heads,
            config.feedforward_dim,
            config.dropout_rate,
            name="encoder",
            **shared,
        )
        self.encoder.build(histories, (None,))
        self.interest_crossing = InterestCrossing(
            name="interest_crossing", **shared
        )
        self.interest_crossing.build(histories, (None,))
        self.decoder = TargetAttentionDecoder(
            config.num_heads,
            config.decoder_feedforward_dim,
            config.dropout_rate,
            name="decoder",
            **shared,
        )
        self.decoder.build(histories, histories, (None,))
        self.match_reader.build()

    def encode(
        self,
        tokens: Any,
        events: Mapping[str, Any],
        length: Any,
        rows: Any,
        contents: Sequence[tuple[Any, Any]] = (),
        training: bool = False,
    ) -> tuple[dict[str, Any], Any]:
        """Encodes a history, once a request.

        Args:
            tokens: (B, L, D) float, newest first.
            events: dict of (B, L) float32 `age_seconds` and the columns of
                `event_details`.
            length: (B,) integer. Real events.
            rows: (B, L, C) integer. Table rows of the events' ids.
            contents: a pair for each of `content_dims`: vectors (B, L, V)
                and which events have one (B, L).
            training: whether dropout is active.

        Returns:
            What `read` needs, a dict of `keys` and `values`
            (B, H, L, D / H), `interest` (B, D), `length` (B,) and what
            `MatchReader` needs;
            and what the experts are told of the user, (B, `interest_dim`).
        """
        details = self._details(tokens, events, training)
        tokens += details
        memory = self.encoder(tokens, length, training=training)
        crossed = self.interest_crossing(memory, length)
        interests = crossed["first_order"]
        state = {
            **self.decoder.encode_memory(memory),
            **self.match_reader.encode(
                details,
                events["age_seconds"],
                self._amounts(events),
                length,
                rows,
                contents,
            ),
            "interest": interests,
            "length": length,
        }
        if self.config.use_second_order:
            interests = ops.concatenate(
                [interests, crossed["second_order"]], axis=-1
            )
        return state, interests

    def _details(
        self, tokens: Any, events: Mapping[str, Any], training: bool
    ) -> Any:
        """When events were and how they went, whatever the item, (B, L, D)."""
        details = ops.zeros_like(tokens)
        if self.temporal_encoding is not None:
            details = self.temporal_encoding(details, events["age_seconds"])
        if self.fine_grained is not None:
            read = {name: events[name] for name in self.event_details}
            details = self.fine_grained(details, **read, training=training)
        return details

    def _amounts(self, events: Mapping[str, Any]) -> Any:
        """What is known of events in numbers, (B, L, A), or None."""
        amounts = []
        if "dwell_seconds" in self.event_details:
            amounts.append(events["dwell_seconds"][..., None])
        if "action_counts" in self.event_details:
            amounts.append(events["action_counts"])
        return ops.concatenate(amounts, axis=-1) if amounts else None

    def read(
        self,
        candidates: Any,
        candidate_rows: Any,
        state: Mapping[str, Any],
        contents: Sequence[tuple[Any, Any]] = (),
        training: bool = False,
    ) -> list[Any]:
        """Reads an encoded history for each candidate.

        Args:
            candidates: (B, N, D) float.
            candidate_rows: (B, N, C) integer. Table rows of their ids.
            state: of `encode`.
            contents: a pair for each of `content_dims`: vectors (B, N, V)
                and which candidates have one (B, N).
            training: whether dropout is active.

        Returns:
            Tensors (B, N, ...) float, `reading_dim` wide together.
        """
        read = self.decoder.attend(
            candidates,
            state["keys"],
            state["values"],
            state["length"],
            training=training,
        )
        matches = self.match_reader.read(
            candidate_rows, state["length"], state, contents
        )
        met = candidates * ops.expand_dims(state["interest"], 1)
        return [read, met, *matches]

    def attention_weights(
        self, candidates: Any, state: Mapping[str, Any]
    ) -> Any:
        """Says which events each candidate reads, (B, H, N, L) float32."""
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
        contents: Sequence[tuple[Any, Any]] = (),
        candidate_contents: Sequence[tuple[Any, Any]] = (),
        training: bool = False,
    ) -> Any:
        state, _ = self.encode(tokens, events, length, rows, contents, training)
        found = self.read(
            candidates, candidate_rows, state, candidate_contents, training
        )
        return ops.concatenate(found, axis=-1)

    def compute_output_shape(
        self,
        tokens_shape: Any,
        events_shape: Any,
        length_shape: Any,
        rows_shape: Any,
        candidates_shape: Any,
        candidate_rows_shape: Any,
        contents_shape: Any = None,
        candidate_contents_shape: Any = None,
    ) -> tuple:
        return (*candidates_shape[:2], self.reading_dim)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.pop("autocast", None)
        return {
            **config,
            "behavior": dataclasses.asdict(self.behavior),
            "num_id_columns": self.num_id_columns,
            "config": dataclasses.asdict(self.config),
            "content_dims": list(self.content_dims),
        }
