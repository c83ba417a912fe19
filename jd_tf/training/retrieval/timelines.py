"""Timelines of users in memory: histories, and the next item at each place."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from jd_tf.data.batches import numpy_batches, without_autotune
from jd_tf.schema import DataError

TARGETS = "targets"
_READ_AT_ONCE = 512
_NONE = -1


@dataclasses.dataclass(frozen=True)
class Timelines:
    """Histories of U requests, and what came next after each event.

    Attributes:
        columns: the `user_columns` of a model, (U, ...) each.
        targets: (U, L + 1) int32, rows of a catalogue: at place 0 that of the
            request's positive candidate, at place i that of event i - 1,
            which is to be predicted from event i and older ones. -1 where
            there is none, or the catalogue does not have it.
        length: (U,) int64, events of each.
        name: of the behaviour.
    """

    columns: dict[str, np.ndarray]
    targets: np.ndarray
    length: np.ndarray
    name: str

    def __len__(self) -> int:
        return len(self.length)

    @classmethod
    def read(
        cls,
        model: Any,
        data: str | Path,
        split: str,
        item_id: np.ndarray,
        last_only: bool = False,
    ) -> "Timelines":
        """Reads the requests of a split.

        Args:
            model: a `TwoTower`.
            data: folder of request records.
            split: "train", "validation" or "test".
            item_id: (I,) ids of the catalogue, ascending.
            last_only: only the last request of each user: its history holds
                all others' targets, as far as `max_length` reaches.
        """
        behavior, schema = model.behavior, model.schema
        names = schema.outcome_names
        objective = behavior.name in names and names.index(behavior.name)
        newest: dict[Any, tuple] = {}
        number = 0
        for batch in numpy_batches(
            data, split, _READ_AT_ONCE, schema=schema, keys=last_only
        ):
            positive = batch["labels"][..., int(objective)] > 0
            real = (
                np.arange(positive.shape[1]) < batch["num_candidates"][:, None]
            )
            positive &= real
            first = positive.argmax(axis=1)
            rows = np.arange(len(first))
            target = catalogue_rows(item_id, batch["item_id"][rows, first])
            target[~positive.any(axis=1)] = _NONE
            for row, length in enumerate(batch[behavior.length].tolist()):
                number += 1
                user = batch["user_id"][row] if last_only else number
                key = int(batch["request_time"][row]), length, number
                if user in newest and newest[user][0] > key:
                    continue
                columns = {
                    name: batch[name][row, :length]
                    if schema.column(name).ragged
                    else batch[name][row]
                    for name in model.user_columns
                }
                newest[user] = key, columns, target[row]
        if not newest:
            raise DataError(f"{data}: split `{split}` has no request.")
        kept = [found for _, found, _ in newest.values()]
        columns = {n: _padded([one[n] for one in kept]) for n in kept[0]}
        length = columns[behavior.length].astype(np.int64)
        events = columns[f"{behavior.name}_item_id"]
        past = catalogue_rows(item_id, events)
        past[np.arange(past.shape[1]) >= length[:, None]] = _NONE
        first = np.array([target for *_, target in newest.values()])
        targets = np.concatenate([first[:, None], past], axis=1)
        return cls(columns, targets.astype(np.int32), length, behavior.name)

    def without_repeats(self) -> "Timelines":
        """Returns them without targets that the user had met before."""
        targets = self.targets.copy()
        for place in range(targets.shape[1] - 1):
            older = self.targets[:, place + 1 :] == targets[:, place, None]
            targets[older.any(axis=1), place] = _NONE
        return dataclasses.replace(self, targets=targets)

    def batches(
        self,
        batch_size: int,
        seed: int | None = None,
        epoch: int = 0,
        skip_batches: int = 0,
        bucket_batches: int = 0,
    ) -> tf.data.Dataset:
        """Returns one pass over the timelines, cut to the batch's longest.

        The order depends on the seed and the epoch alone; as read without a
        seed. Batches are dicts of `columns` and `targets`.

        Args:
            batch_size: timelines a batch; the last one may be smaller.
            seed: of the order.
            epoch: number of the pass.
            skip_batches: batches of this pass that were read before.
            bucket_batches: batches within which shuffled timelines of like
                length come together; 0: none.
        """
        order = np.arange(len(self))
        if seed is not None:
            generator = np.random.default_rng([seed, epoch])
            order = generator.permutation(order)
            if bucket_batches:
                order = self._bucketed(
                    order, batch_size, bucket_batches, generator
                )
        return without_autotune(
            tf.data.Dataset.from_tensor_slices(order)
            .batch(batch_size)
            .skip(skip_batches)
            .map(self._gathered(), num_parallel_calls=1, deterministic=True)
            .prefetch(2)
        )

    def _gathered(self) -> Any:
        """Returns the function of places to a batch."""
        columns = {n: tf.constant(_text(c)) for n, c in self.columns.items()}
        targets, length = tf.constant(self.targets), tf.constant(self.length)
        wide = [
            name
            for name, column in self.columns.items()
            if column.ndim > 1 and name.startswith(f"{self.name}_")
        ]

        def gather(places: tf.Tensor) -> dict[str, tf.Tensor]:
            # An axis of no event would be none that layers can read.
            longest = tf.maximum(tf.reduce_max(tf.gather(length, places)), 1)
            batch = {n: tf.gather(c, places) for n, c in columns.items()}
            for name in wide:
                batch[name] = batch[name][:, :longest]
            batch[TARGETS] = tf.gather(targets, places)[:, : longest + 1]
            return batch

        return gather

    def _bucketed(
        self,
        order: np.ndarray,
        batch_size: int,
        bucket_batches: int,
        generator: np.random.Generator,
    ) -> np.ndarray:
        parts = []
        window = batch_size * bucket_batches
        for start in range(0, len(order), window):
            part = order[start : start + window]
            part = part[np.argsort(self.length[part], kind="stable")]
            full = len(part) // batch_size * batch_size
            batches = part[:full].reshape(-1, batch_size)
            # What fills no batch stays at the end.
            parts += [generator.permutation(batches).ravel(), part[full:]]
        return np.concatenate(parts)


def catalogue_rows(item_id: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Returns rows of ids of any shape in ascending ids, -1 for unknown."""
    at = np.minimum(np.searchsorted(item_id, ids), len(item_id) - 1)
    return np.where(item_id[at] == ids, at, _NONE)


def _padded(rows: list[np.ndarray]) -> np.ndarray:
    """Stacks rows of several lengths, padded with 0 or b""."""
    first = np.asarray(rows[0])
    if not first.ndim:
        return np.array(rows, first.dtype)
    width = max(1, max(len(row) for row in rows))
    shape = (len(rows), width, *first.shape[1:])
    empty = b"" if first.dtype == object else 0
    padded = np.full(shape, empty, first.dtype)
    for place, row in enumerate(rows):
        padded[place, : len(row)] = row
    return padded


def _text(column: np.ndarray) -> Any:
    return column.tolist() if column.dtype == object else column
