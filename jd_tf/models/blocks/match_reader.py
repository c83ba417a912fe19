"""What candidates have in common with a history: ids, pictures, titles."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from jd_tf.layers import ContentMatch, EventWeights, IdOverlap
from jd_tf.models.ranking.jd_ranker_config import JDRankerConfig


@keras.saving.register_keras_serializable(package="jd_tf")
class MatchReader(keras.layers.Layer):
    """Tells candidates which of their ids and looks stand in a history.

    Each event counts for what it still is worth: learned from its time and
    from how it went, and, fading at the same rates, for the amounts known of
    it. Once a request: `encode`. For each candidate: `read`.

    Args:
        num_id_columns: int. Ids an item has, C.
        num_amounts: int. Amounts A known of an event, 0 for none.
        config: sizes and switches, or their dict.
        content_dims: ints. Widths of the vectors that contents have.
        values_known: bool. Whether events have a time or details at all;
            without, they are only counted.

    Call arguments:
        details: (B, L, D) float. When events were and how they went.
        age_seconds: (B, L) float32.
        amounts: (B, L, A) float, or None if there are none.
        length: (B,) integer. Real events.
        rows: (B, L, C) integer. Table rows of the events' ids.
        candidate_rows: (B, N, C) integer. Of the candidates' ids.
        contents: a pair for each of `content_dims`: vectors (B, L, M) float
            and (B, L) bool, which events have one.
        candidate_contents: likewise (B, N, M) and (B, N).

    Returns:
        (B, N, `output_dim`) float.
    """

    def __init__(
        self,
        num_id_columns: int,
        num_amounts: int,
        config: JDRankerConfig | Mapping[str, Any],
        content_dims: Sequence[int] = (),
        values_known: bool = True,
        **kwargs,
    ):
        # Ages in seconds overflow half precision after 18 hours.
        super().__init__(**{**kwargs, "autocast": False})
        if not isinstance(config, JDRankerConfig):
            config = JDRankerConfig(**config)
        self.num_id_columns = num_id_columns
        self.num_amounts = num_amounts
        self.config = config
        self.content_dims = tuple(content_dims)
        self.values_known = values_known
        shared = {"dtype": self.dtype_policy}
        self.history_match = None
        if config.use_matches:
            self.history_match = IdOverlap(
                config.use_position, name="history_match", **shared
            )
        self.content_matches = [
            ContentMatch(
                config.content_match_dim,
                config.num_heads,
                name=f"content_match_{number}",
                **shared,
            )
            for number, _ in enumerate(self.content_dims)
            if config.use_content_matches
        ]
        self.event_values = None
        matched = self.history_match is not None or self.content_matches
        if matched and values_known and config.num_match_values:
            self.event_values = EventWeights(
                config.num_match_values, name="event_values", **shared
            )

    @property
    def output_dim(self) -> int:
        """Width of what a candidate is told."""
        learned = self.config.num_match_values if self.event_values else 0
        width = 0
        if self.history_match is not None:
            values = learned * (1 + self.num_amounts)
            width = self.history_match.num_features(values)
            width *= self.num_id_columns
        return width + sum(
            match.num_features(learned) for match in self.content_matches
        )

    def build(
        self,
        details_shape: Any = None,
        age_seconds_shape: Any = None,
        amounts_shape: Any = None,
        length_shape: Any = None,
        rows_shape: Any = None,
        candidate_rows_shape: Any = None,
        contents_shape: Any = None,
        candidate_contents_shape: Any = None,
    ) -> None:
        if self.event_values is not None:
            ages = (None, None) if self.config.use_recency else None
            self.event_values.build((None, None, self.config.model_dim), ages)
        for number, match in enumerate(self.content_matches):
            match.build((None, None, self.content_dims[number]))

    def encode(
        self,
        details: Any,
        age_seconds: Any,
        amounts: Any,
        length: Any,
        rows: Any,
        contents: Sequence[tuple[Any, Any]] = (),
    ) -> dict[str, Any]:
        """Values events and sums contents up, once a request.

        Returns:
            What `read` needs, if it is matched: `rows` (B, C, L), those of
            no id replaced, `match_values` (B, L, features), what an event
            adds to each feature, and `content_0`, `content_1`, ... (B, V, K).
        """
        state, values, learned = {}, None, None
        if self.event_values is not None:
            ages = age_seconds if self.config.use_recency else None
            values = self.event_values(details, ages, amounts)
            learned = values[..., : self.config.num_match_values]
        if self.history_match is not None:
            events = self.history_match.encode_history(rows, length, values)
            state["rows"] = events["ids"]
            state["match_values"] = events["weights"]
        for number, match in enumerate(self.content_matches):
            state[f"content_{number}"] = match.encode_history(
                *contents[number], length, learned
            )
        return state

    def read(
        self,
        candidate_rows: Any,
        length: Any,
        state: Mapping[str, Any],
        contents: Sequence[tuple[Any, Any]] = (),
    ) -> list[Any]:
        """Compares each candidate with an encoded history.

        Returns:
            Tensors (B, N, ...) float, `output_dim` wide together; none if
            nothing is matched.
        """
        found = []
        if self.history_match is not None:
            found.append(
                self.history_match.match(
                    candidate_rows,
                    state["rows"],
                    state["match_values"],
                    length,
                )
            )
        for number, match in enumerate(self.content_matches):
            profile = state[f"content_{number}"]
            found.append(match.match(*contents[number], profile))
        return found

    def call(
        self,
        details: Any,
        age_seconds: Any,
        amounts: Any,
        length: Any,
        rows: Any,
        candidate_rows: Any,
        contents: Sequence[tuple[Any, Any]] = (),
        candidate_contents: Sequence[tuple[Any, Any]] = (),
    ) -> Any:
        state = self.encode(
            details, age_seconds, amounts, length, rows, contents
        )
        found = self.read(candidate_rows, length, state, candidate_contents)
        return ops.concatenate(found, axis=-1)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.pop("autocast", None)
        return {
            **config,
            "num_id_columns": self.num_id_columns,
            "num_amounts": self.num_amounts,
            "config": dataclasses.asdict(self.config),
            "content_dims": list(self.content_dims),
            "values_known": self.values_known,
        }
