"""A base of rankers that read each history apart."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from keras import ops

from jd_tf.layers.masking import mean_of_real
from jd_tf.layers.sequence.event_times import seconds_between
from jd_tf.models.base import Tensors
from jd_tf.models.blocks.event_ages import newest_time
from jd_tf.models.blocks.event_encoder import EventEncoder
from jd_tf.models.blocks.item_encoder import ItemEncoder
from jd_tf.models.multi_task_ranker import MultiTaskRanker, behavior_state
from jd_tf.models.sequence.sequence_config import SequenceRankerConfig
from jd_tf.schema import Behavior


class SequenceRanker(MultiTaskRanker):
    """Encodes each history once and lets every candidate read it.

    All that models of one kind share: they differ in their reader, made for
    each behaviour.

        events of b ─ item + place + age + details ─ reader of b ─ memory of b
        candidate q ─ item ──────────────────────── reader of b ─ r_b(q)

        user       [mean of each memory | request]
        candidate  [q | r_b(q) of each behaviour | dense features]

    A subclass implements `make_reader`, `build_reader`, `encode_events` and
    `read_events`; its config extends `SequenceRankerConfig`. Arguments, call
    arguments and outputs are those of `RankingModel`.

    Example:
    >>> from jd_tf.models import get_model
    >>> issubclass(get_model("din").model_class, SequenceRanker)
    True
    """

    config_class = SequenceRankerConfig

    # What a model implements ------------------------------------------------

    def make_reader(self, name: str) -> Any:
        """Returns the layers that read one history: one, or a list.

        `name` is that of the behaviour, to name them by.
        """
        raise NotImplementedError

    def build_reader(self, reader: Any, shape: tuple) -> None:
        """Builds layers of `make_reader` for events (B, L, D).

        Candidates have the same shape.
        """
        raise NotImplementedError

    def encode_events(
        self, reader: Any, tokens: Any, length: Any, training: bool = False
    ) -> tuple[dict[str, Any], Any]:
        """Encodes the events of a behaviour, once a request.

        Args:
            reader: of `make_reader`.
            tokens: (B, L, D) float, newest first.
            length: (B,) integer. Real events.
            training: whether dropout is active.

        Returns:
            The tensors that `read_events` needs, by name, and the memory
            (B, L, D).
        """
        raise NotImplementedError

    def read_events(
        self,
        reader: Any,
        candidates: Any,
        state: Mapping[str, Any],
        training: bool = False,
    ) -> Any:
        """Reads a behaviour's events for each candidate.

        Args:
            reader: of `make_reader`.
            candidates: (B, N, D) float.
            state: of `encode_events`, and the behaviour's `length`.
            training: whether dropout is active.

        Returns:
            (B, N, D) float.
        """
        raise NotImplementedError

    # The contract -----------------------------------------------------------

    def make_layers(self) -> None:
        schema, items = self.schema, self.config.items
        shared = {"dtype": self.dtype_policy}
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
                **dataclasses.asdict(self.config.events),
                name=f"{behavior.name}_events",
                **shared,
            )
            for behavior in schema.behaviors
        ]
        self.readers = [self.make_reader(b.name) for b in schema.behaviors]
        self.make_head(len(schema.behaviors), items.model_dim)

    def build_readers(self) -> tuple[int, int]:
        """See `MultiTaskRanker`."""
        dim, count = self.config.items.model_dim, len(self.schema.behaviors)
        for encoder, reader in zip(
            self.event_encoders, self.readers, strict=True
        ):
            encoder.build()
            self.build_reader(reader, (None, None, dim))
        return (1 + count) * dim, count * dim

    def encode_histories(
        self, histories: Tensors, training: bool = False
    ) -> dict[str, Any]:
        state: dict[str, Any] = {}
        interests, read = [], []
        for number, (behavior, reader) in enumerate(self._behaviors(), 1):
            name, length = behavior.name, histories[behavior.length]
            encoder = self.event_encoders[number - 1]
            times = histories[f"{name}_event_time"]
            newest = newest_time(times, length)
            events = {
                n: histories[f"{name}_{n}"] for n in encoder.event_details
            }
            events["age_seconds"] = seconds_between(times, newest[:, None])
            ids = self.item_ids(histories, f"{name}_")
            tokens = self.item_encoder(ids, gate_index=number)
            tokens = encoder(tokens, events, training=training)
            kept, memory = self.encode_events(reader, tokens, length, training)
            interests.append(mean_of_real(memory, length))
            read.append({"interest": interests[-1], "values": memory[:, None]})
            kept |= {"length": length, "newest_time": newest}
            state |= {f"{name}_{n}": tensor for n, tensor in kept.items()}
        return state | self.shared_state(histories, interests, read, training)

    def candidate_logits(
        self,
        user_state: Tensors,
        context: Any,
        candidates: Tensors,
        training: bool = False,
    ) -> tuple[Any, Any]:
        tokens = self.item_encoder(self.item_ids(candidates))
        parts = [tokens]
        for behavior, reader in self._behaviors():
            state = behavior_state(user_state, behavior)
            parts.append(self.read_events(reader, tokens, state, training))
        if self.schema.item_dense:
            parts.append(self.item_normalization(candidates["item_dense"]))
        logits, shared = self.conditional_logits(
            user_state, context, ops.concatenate(parts, axis=-1), training
        )
        logits = self.with_position_bias(logits, candidates, training)
        return self.entire_space(logits), shared

    def _behaviors(self) -> Iterator[tuple[Behavior, Any]]:
        return zip(self.schema.behaviors, self.readers, strict=True)
