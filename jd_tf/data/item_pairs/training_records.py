"""Reads the training records that pairs are counted from."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from jd_tf.data.batches import READ_ERRORS, explain_read_error, parse_requests
from jd_tf.data.dataset import split_files
from jd_tf.data.item_pairs.training_parts import TIME, USER, TrainingParts
from jd_tf.schema import DataError, Schema

TRAIN = "train"
_BATCH_SIZE = 1024
_LARGEST = 2**63 - 1


class TrainingRecords:
    """The training split of a data folder, read as often as needed.

    Args:
        data: the folder.
        schema: of it.
        progress: whether bars are shown.
    """

    def __init__(self, data: str | Path, schema: Schema, progress: bool):
        self.data = data
        self.schema = schema
        self.progress = progress
        self._files = split_files(data, TRAIN)

    def read(
        self, names: Sequence[str], title: str
    ) -> Iterator[dict[str, np.ndarray]]:
        """Yields batches of some columns, in the order of the files."""
        wanted = {*names, "user_id", "request_time"}
        columns = tuple(c for c in self.schema.columns() if c.name in wanted)
        batches = (
            tf.data.TFRecordDataset([str(path) for path in self._files])
            .batch(_BATCH_SIZE)
            .map(lambda records: parse_requests(records, columns))
            .prefetch(2)
        )
        total = -(-sum(self._files.values()) // _BATCH_SIZE)
        shown = tqdm(
            batches.as_numpy_iterator(),
            title,
            total,
            unit="batches",
            disable=not self.progress,
        )
        try:
            yield from shown
        except READ_ERRORS as error:
            raise explain_read_error(error, self.data, TRAIN) from error


class HistoryPlan:
    """Tells whose histories are counted, so that each event enters once.

    A user's requests show the same events again and again. In each part of
    the training data only his last request's history is counted, and of that
    only what is newer than the one counted before it.

    Args:
        records: of the training split.
        leave_out: "time", "user" or "auto": time where there is a clock.
        num_parts: of the training data.

    Attributes:
        parts: of the training data.
        counted: (requests,) bool, in the order of reading.
        since: (requests,) int64, where counted the time of the user's
            request that was counted before.
        num_events: events in counted histories, of all behaviours.
    """

    def __init__(
        self, records: TrainingRecords, leave_out: str, num_parts: int
    ):
        names = [behavior.length for behavior in records.schema.behaviors]
        users: list[np.ndarray] = []
        times: list[np.ndarray] = []
        lengths: list[Any] = []
        for batch in records.read(names, "reading users"):
            users.append(user_numbers(batch["user_id"]))
            times.append(batch["request_time"])
            lengths.append(sum(batch[name] for name in names))
        user, time, length = (
            np.concatenate(parts) for parts in (users, times, lengths)
        )
        clock = time.min() < time.max()
        if leave_out == "auto":
            leave_out = TIME if clock else USER
        if leave_out == TIME and not clock:
            raise DataError(
                f"{records.data}: every training request has `request_time` "
                f"{time[0]}, so that there is no earlier part to count. Pass "
                "--leave_out=user."
            )
        places = np.arange(1, num_parts) * len(time) // num_parts
        boundaries = np.sort(time)[places] if leave_out == TIME else ()
        self.parts = TrainingParts(
            leave_out, num_parts, tuple(int(t) for t in boundaries)
        )
        # By user, a part has all requests of a user.
        part = np.searchsorted(
            np.array(boundaries, np.int64), time, side="right"
        )
        # Without a clock the longest history is the last.
        order = np.lexsort((length, time, part, user))
        last = np.ones(len(order), bool)
        last[:-1] = np.diff(user[order]) != 0
        last[:-1] |= np.diff(part[order]) != 0
        kept = order[last]
        self.counted = np.zeros(len(time), bool)
        self.counted[kept] = True
        self.since = np.full(len(time), -_LARGEST)
        same = user[kept[1:]] == user[kept[:-1]]
        self.since[kept[1:][same]] = time[kept[:-1][same]]
        self.num_events = int(length[kept].sum())


def user_numbers(user_id: np.ndarray) -> np.ndarray:
    """Returns users as int64 numbers."""
    return tf.strings.to_hash_bucket_fast(user_id, _LARGEST).numpy()
