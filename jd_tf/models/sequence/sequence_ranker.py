"""A base of rankers that read each history apart."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from jd_tf.layers.masking import mean_of_real
from jd_tf.layers.sequence.event_times import seconds_between
from jd_tf.models.base import Tensors
from jd_tf.models.blocks.event_ages import newest_time
from jd_tf.models.multi_task_ranker import behavior_state
from jd_tf.models.sequence.event_ranker import EventRanker
from jd_tf.models.sequence.sequence_config import SequenceRankerConfig


class SequenceRanker(EventRanker):
    """Encodes each history once and lets every candidate read it.

        events of b ─ item + place + age + details ─ reader of b ─ memory of b
        candidate q ─ item ──────────────────────── reader of b ─ r_b(q)

        user       [mean of each memory | request]
        candidate  [q | r_b(q) of each behaviour | overlaps | dense features]

    A subclass makes the layers of a reader in `make_reader` and implements
    `encode_events` and `read_events`. Arguments, call arguments and outputs
    are those of `RankingModel`.

    Example:
    >>> from jd_tf.models import get_model
    >>> issubclass(get_model("din").model_class, SequenceRanker)
    True
    """

    config_class = SequenceRankerConfig

    def make_reader(self, name: str) -> list[Any]:
        """Returns the layers that read the behaviour of that name."""
        raise NotImplementedError

    def build_reader(self, reader: list[Any], shape: tuple) -> None:
        """Builds a reader for events and candidates of a shape (B, L, D)."""
        for layer in reader:
            layer.build(shape)

    def encode_events(
        self, reader: list[Any], tokens: Any, length: Any, training: bool
    ) -> tuple[dict[str, Any], Any]:
        """Encodes events (B, L, D), once a request.

        Returns the tensors that `read_events` needs, by name, and the memory
        (B, L, D).
        """
        raise NotImplementedError

    def read_events(
        self,
        reader: list[Any],
        candidates: Any,
        state: Mapping[str, Any],
        training: bool,
    ) -> Any:
        """Returns what candidates (B, N, D) read of a behaviour, (B, N, D).

        `state` is of `encode_events`, with the behaviour's `length` and the
        request's `num_candidates`.
        """
        raise NotImplementedError

    def make_layers(self) -> None:
        behaviors = self.schema.behaviors
        self.make_encoders(**dataclasses.asdict(self.config.events))
        self.readers = [self.make_reader(b.name) for b in behaviors]
        self.make_head(len(behaviors), self.config.items.model_dim)

    def build_readers(self) -> tuple[int, int]:
        """See `MultiTaskRanker`."""
        dim, count = self.config.items.model_dim, len(self.readers)
        shape = (None, None, dim)
        for encoder, reader in zip(
            self.event_encoders, self.readers, strict=True
        ):
            encoder.build()
            self.build_reader(reader, shape)
        self.build_id_overlap()
        return (1 + count) * dim + self.overlap_dim, count * dim

    def encode_histories(
        self, histories: Tensors, training: bool = False
    ) -> dict[str, Any]:
        state: dict[str, Any] = {}
        interests, read = [], []
        for number, behavior in enumerate(self.schema.behaviors):
            name, length = behavior.name, histories[behavior.length]
            times = histories[f"{name}_event_time"]
            newest = newest_time(times, length)
            age = seconds_between(times, newest[:, None])
            tokens = self.event_tokens(number, histories, age, training)
            kept, memory = self.encode_events(
                self.readers[number], tokens, length, training
            )
            interests.append(mean_of_real(memory, length))
            read.append({"interest": interests[-1], "values": memory[:, None]})
            kept |= {"length": length, "newest_time": newest}
            state |= {f"{name}_{n}": tensor for n, tensor in kept.items()}
            rows = self.item_encoder.rows(self.item_ids(histories, f"{name}_"))
            state |= self.overlap_state(name, rows, length)
        return state | self.shared_state(histories, interests, read, training)

    def read_user(
        self,
        tokens: Any,
        numbers: Sequence[Any],
        user_state: Tensors,
        context: Any,
        training: bool = False,
    ) -> list[Any]:
        count = {"num_candidates": context["num_candidates"]}
        return [
            self.read_events(
                reader,
                tokens,
                behavior_state(user_state, behavior) | count,
                training,
            )
            for behavior, reader in zip(
                self.schema.behaviors, self.readers, strict=True
            )
        ]
