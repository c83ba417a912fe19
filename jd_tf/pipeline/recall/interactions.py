"""Items that users came to, out of behaviour logs."""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse
import tensorflow as tf

from jd_tf.data.batches import numpy_batches
from jd_tf.data.dataset import read_schema
from jd_tf.data.sources.timelines import Timeline
from jd_tf.schema import DataError, Schema

_BATCH_SIZE = 1024
_LARGEST = 2**63 - 1
# Events held before repeated ones are dropped.
_MAX_HELD = 1 << 23


@dataclasses.dataclass(frozen=True)
class Interactions:
    """M events of U users with I items, an item once a user.

    Attributes:
        item_id: (I,) int64 or bytes, ascending.
        user: (M,) int64, rows of users from 0, ascending.
        item: (M,) int64, rows of `item_id`; of a user in order of time.
        time: (M,) int64, the newest of the user with the item; seconds, or
            places in the timeline where the log has no clock.
        weight: (M,) float32 > 0.
    """

    item_id: np.ndarray
    user: np.ndarray
    item: np.ndarray
    time: np.ndarray
    weight: np.ndarray

    def __len__(self) -> int:
        return len(self.user)

    @property
    def num_users(self) -> int:
        """Returns U."""
        return int(self.user[-1]) + 1 if len(self) else 0

    def matrix(self, values: np.ndarray | None = None) -> Any:
        """Returns (U, I) CSR of values (M,), by default of the weights."""
        values = self.weight if values is None else values
        return scipy.sparse.csr_matrix(
            (values.astype(np.float32), (self.user, self.item)),
            (self.num_users, len(self.item_id)),
        )

    def popularity(self) -> np.ndarray:
        """Returns (I,) users of each item."""
        return np.bincount(self.item, minlength=len(self.item_id))

    def first_seen(self) -> np.ndarray:
        """Returns (I,) int64, the earliest `time` of each item."""
        first = np.full(len(self.item_id), _LARGEST)
        np.minimum.at(first, self.item, self.time)
        return first

    @classmethod
    def of_events(
        cls,
        user: np.ndarray,
        item_id: np.ndarray,
        time: np.ndarray,
        weight: np.ndarray | None = None,
        max_events: int = 500,
    ) -> "Interactions":
        """Builds it from events in any order.

        Of a user's events with an item the newest time and the largest weight
        stay. Equal times keep the order of the events given.

        Args:
            user: (E,) ids of any kind.
            item_id: (E,) int64 or object (bytes); 0 and b"" are left out.
            time: (E,) int64.
            weight: (E,) float; 1 each if None. Events of 0 are left out.
            max_events: newest items of a user that stay. What a user costs
                grows with their square, and robots have very many.

        Raises:
            DataError: if nothing is left.
        """
        if max_events < 1:
            raise DataError(f"`max_events` must be >= 1. Got: {max_events}.")
        frame = pd.DataFrame({"user": user, "item": item_id, "time": time})
        frame["weight"] = 1.0 if weight is None else weight
        padding = b"" if item_id.dtype.kind in "OS" else 0
        frame = frame[(frame["item"] != padding) & (frame["weight"] > 0)]
        if frame.empty:
            raise DataError("no events of users with items.")
        frame = _once(frame).sort_values(["user", "time"], kind="stable")
        frame = frame.groupby("user").tail(max_events)
        rows, _ = pd.factorize(frame["user"])
        ids, items = np.unique(frame["item"].to_numpy(), return_inverse=True)
        return cls(
            ids,
            rows.astype(np.int64),
            items,
            frame["time"].to_numpy(np.int64),
            frame["weight"].to_numpy(np.float32),
        )

    @classmethod
    def of_timelines(
        cls, timelines: Iterable[Timeline], left_out: int = 2, **options: Any
    ) -> "Interactions":
        """Builds it from timelines; the place of an event is its time.

        Args:
            timelines: of `SequencesSource`, oldest event first.
            left_out: newest events of each that are left out: by default the
                targets of validation and test.
            options: of `of_events`.
        """
        kept = [t.items[: max(len(t.items) - left_out, 0)] for t in timelines]
        sizes = [len(items) for items in kept]
        return cls.of_events(
            np.repeat(np.arange(len(kept)), sizes),
            np.concatenate([np.zeros(0, np.int64), *kept]),
            np.concatenate([np.zeros(0, np.int64), *map(np.arange, sizes)]),
            **options,
        )

    @classmethod
    def of_records(
        cls,
        data: str | Path,
        weights: Mapping[str, float] | None = None,
        **options: Any,
    ) -> "Interactions":
        """Reads histories and positive candidates of the training split.

        A user's requests show the same events again and again; they count
        once. Where every request has the same time there is no clock, and
        the place of an event in its history stands for its time.

        Args:
            data: folder of request records.
            weights: of events, by name of behaviour or outcome; 1 for those
                not named, but 0 for bad outcomes. 0 leaves them out, as are
                all amounts.
            options: of `of_events`.

        Raises:
            DataError: for unknown names, or a split without any event.
        """
        schema = read_schema(data)
        names = schema.outcome_names
        outcomes = schema.objectives[: len(names)]
        bad = {outcome.name: 0.0 for outcome in outcomes if outcome.value < 0}
        weights = {**bad, **(weights or {})}
        names = (*(b.name for b in schema.behaviors), *names)
        for name in weights:
            if name not in names:
                raise DataError(
                    f"{data}: no behaviour or objective `{name}` to weigh, "
                    f"only {', '.join(dict.fromkeys(names))}."
                )
        held, parts, times = 0, [], set()
        for batch in numpy_batches(data, "train", _BATCH_SIZE, keys=True):
            times |= {batch["request_time"].min(), batch["request_time"].max()}
            parts.append(_once(_events_of(batch, schema, weights)))
            held += len(parts[-1])
            if held > _MAX_HELD:
                parts, held = [_once(pd.concat(parts))], 0
        if not parts or not sum(map(len, parts)):
            raise DataError(f"{data}: split `train` has no event.")
        events = _once(pd.concat(parts))
        clock = "time" if len(times) > 1 else "place"
        user, item, time, weight = (
            events[column].to_numpy()
            for column in ("user", "item", clock, "weight")
        )
        return cls.of_events(user, item, time, weight, **options)


def _events_of(
    batch: Mapping[str, np.ndarray],
    schema: Schema,
    weights: Mapping[str, float],
) -> pd.DataFrame:
    """Returns events of histories, and positive candidates, of a batch."""
    user = tf.strings.to_hash_bucket_fast(batch["user_id"], _LARGEST).numpy()
    longest = np.zeros(len(user), np.int64)
    found = []
    for behavior in schema.behaviors:
        ids = batch[f"{behavior.name}_item_id"]
        length = batch[behavior.length].astype(np.int64)
        longest = np.maximum(longest, length)
        row, column = np.nonzero(np.arange(ids.shape[1]) < length[:, None])
        found.append(
            (
                user[row],
                ids[row, column],
                batch[f"{behavior.name}_event_time"][row, column],
                length[row] - 1 - column,
                np.full(len(row), weights.get(behavior.name, 1.0)),
            )
        )
    positive = (batch["labels"] > 0) & (batch["label_weights"] > 0)
    weight = [weights.get(name, 1.0) for name in schema.outcome_names]
    weight = (positive[..., : len(weight)] * np.array(weight)).max(axis=-1)
    row, column = np.nonzero(weight)
    found.append(
        (
            user[row],
            batch["item_id"][row, column],
            batch["request_time"][row],
            longest[row],
            weight[row, column],
        )
    )
    columns = map(np.concatenate, zip(*found, strict=True))
    names = ("user", "item", "time", "place", "weight")
    return pd.DataFrame(dict(zip(names, columns, strict=True)))


def _once(events: pd.DataFrame) -> pd.DataFrame:
    """Returns a row a user and item, with the largest of its numbers."""
    return events.groupby(["user", "item"], as_index=False, sort=False).max()
