"""What lies in a prepared data set, read back from disk."""

import collections
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from jd_tf.data.batches import explain_read_error, parse_requests
from jd_tf.data.dataset import (
    SUMMARY_FILE,
    read_schema,
    split_files,
    write_json,
)
from jd_tf.data.summary_picture import draw_summary
from jd_tf.data.summary_text import summary_text
from jd_tf.schema import Role, Schema

SUMMARY_TEXT, SUMMARY_PICTURE = "summary.txt", "summary.png"
SPLITS = ("train", "validation", "test")
_BATCH_SIZE = 512
_TIME_BINS = 48


def write_summary(
    folder: Path, report: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Writes `summary.json`, `summary.txt` and `summary.png` of a data set.

    Args:
        folder: a sealed data set.
        report: what its source says of the log it was made from.

    Returns:
        The summary.
    """
    summary = summarize(folder, report)
    write_json(folder / SUMMARY_FILE, summary)
    text = summary_text(summary)
    (folder / SUMMARY_TEXT).write_text(text + "\n", encoding="utf-8")
    draw_summary(summary, folder / SUMMARY_PICTURE)
    return summary


def summarize(
    folder: str | Path, report: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Counts what a data set holds.

    Args:
        folder: a sealed data set.
        report: kept in the summary, under "log".

    Returns:
        `schema` (its name), `log`, and per split under `splits`: `requests`,
        `users`, `items` (different candidates), `candidates` (number,
        `histogram`: value -> requests), `labels` (objective -> `positives`,
        `impressions`, `rate`), `histories` (behaviour -> `mean`, `median`,
        `p90`, `max`, `empty_share`, `histogram`: length -> requests), and
        `time` (`first`, `last`, in seconds, `bin_seconds`, `requests` per
        bin; None without a clock).

    Raises:
        DataError: naming the file and record that cannot be read.
    """
    schema = read_schema(folder)
    splits = {}
    for split in SPLITS:
        count = _SplitCount(schema)
        paths = [str(path) for path in split_files(folder, split)]
        try:
            for batch in _read(paths, schema):
                count.add(batch)
        except (
            tf.errors.DataLossError,
            tf.errors.InvalidArgumentError,
        ) as error:
            raise explain_read_error(error, folder, split) from error
        splits[split] = count.result()
    return {"schema": schema.name, "log": report or {}, "splits": splits}


def _read(paths: list[str], schema: Schema) -> Any:
    names = {"item_id", "labels", "label_weights", "num_candidates"}
    names |= {behavior.length for behavior in schema.behaviors}
    columns = tuple(
        column
        for column in schema.columns()
        if column.name in names or column.role is Role.KEY
    )
    dataset = tf.data.TFRecordDataset(paths).batch(_BATCH_SIZE)
    return dataset.map(
        lambda records: parse_requests(records, columns)
    ).as_numpy_iterator()


class _SplitCount:
    """Adds up one split, batch by batch."""

    def __init__(self, schema: Schema):
        self.schema = schema
        self.users: set[bytes] = set()
        self.items: set[int | bytes] = set()
        self.candidates: collections.Counter = collections.Counter()
        self.lengths = {b.name: collections.Counter() for b in schema.behaviors}
        shape = len(schema.objectives)
        self.positives = np.zeros(shape)
        self.impressions = np.zeros(shape)
        self.times: list[np.ndarray] = []

    def add(self, batch: dict[str, np.ndarray]) -> None:
        """Counts a batch."""
        num_candidates = batch["num_candidates"]
        self.users.update(batch["user_id"].tolist())
        real = np.arange(batch["item_id"].shape[1]) < num_candidates[:, None]
        self.items.update(batch["item_id"][real].tolist())
        self.candidates.update(num_candidates.tolist())
        for behavior in self.schema.behaviors:
            self.lengths[behavior.name].update(batch[behavior.length].tolist())
        counted = (batch["label_weights"] > 0) & real[..., None]
        self.positives += (batch["labels"] * counted).sum((0, 1))
        self.impressions += counted.sum((0, 1))
        self.times.append(batch["request_time"])

    def result(self) -> dict[str, Any]:
        """The split's part of the summary."""
        labels = {}
        for index, name in enumerate(self.schema.objective_names):
            positives = int(self.positives[index])
            impressions = int(self.impressions[index])
            labels[name] = {
                "positives": positives,
                "impressions": impressions,
                "rate": positives / impressions if impressions else None,
            }
        return {
            "requests": sum(self.candidates.values()),
            "users": len(self.users),
            "items": len(self.items),
            "candidates": {
                "number": sum(n * c for n, c in self.candidates.items()),
                "histogram": _sorted(self.candidates),
            },
            "labels": labels,
            "histories": {
                name: _spread(counts) for name, counts in self.lengths.items()
            },
            "time": _time(np.concatenate(self.times)),
        }


def _sorted(counts: collections.Counter) -> dict[str, int]:
    return {str(value): counts[value] for value in sorted(counts)}


def _spread(counts: collections.Counter) -> dict[str, Any]:
    lengths = np.array(list(counts.elements()))
    return {
        "mean": float(lengths.mean()),
        "median": float(np.median(lengths)),
        "p90": float(np.percentile(lengths, 90)),
        "max": int(lengths.max()),
        "empty_share": float((lengths == 0).mean()),
        "histogram": _sorted(counts),
    }


def _time(times: np.ndarray) -> dict[str, Any] | None:
    if not times.any():
        return None
    first, last = int(times.min()), int(times.max())
    bin_seconds = max(1, -(-(last - first + 1) // _TIME_BINS))
    counts = np.bincount((times - first) // bin_seconds)
    return {
        "first": first,
        "last": last,
        "bin_seconds": bin_seconds,
        "requests": counts.tolist(),
    }
