"""Counts of a prepared data set, read back from disk."""

import collections
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from jd_tf.data.batches import READ_ERRORS, explain_read_error, parse_requests
from jd_tf.data.dataset import SPLITS, SUMMARY_FILE, read_schema, split_files
from jd_tf.data.files import write_json
from jd_tf.data.summary_report import draw_summary, summary_text
from jd_tf.schema import Role, Schema

SUMMARY_TEXT, SUMMARY_PICTURE = "summary.txt", "summary.png"
_BATCH_SIZE = 512
_MAX_TIME_BINS = 60
# Widths of time bins, in seconds, that people find easy to read.
_BIN_SECONDS = (
    *(1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600),
    *(7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800, 2_592_000),
)


def write_summary(
    folder: Path,
    report: dict[str, Any] | None = None,
    warnings: Iterable[str] = (),
) -> dict[str, Any]:
    """Writes `summary.json`, `.txt` and `.png` of a sealed data set."""
    summary = {**summarize(folder, report), "warnings": list(warnings)}
    write_json(folder / SUMMARY_FILE, summary)
    text = summary_text(summary)
    (folder / SUMMARY_TEXT).write_text(text + "\n", encoding="utf-8")
    draw_summary(summary, folder / SUMMARY_PICTURE)
    return summary


def summarize(
    folder: str | Path, report: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Counts what a data set holds; `report` is kept under "log".

    `splits` holds for each `requests`, `users`, `items` (different candidates),
    `candidates` (`number`, `histogram`: value -> requests), `labels` (objective
    -> `positives`, `impressions`, `rate`), `histories` (behaviour -> `mean`,
    ..., `histogram`: length -> requests) and `time` (`first`, `last`,
    `bin_seconds`, `requests` per bin; None without a clock).
    """
    schema = read_schema(folder)
    counts = {}
    for split in SPLITS:
        counts[split] = count = _SplitCount(schema)
        paths = [str(path) for path in split_files(folder, split)]
        try:
            for batch in _read(paths, schema):
                count.add(batch)
        except READ_ERRORS as error:
            raise explain_read_error(error, folder, split) from error
    longest = max(count.time_span() for count in counts.values())
    bin_seconds = next(
        (width for width in _BIN_SECONDS if longest / width < _MAX_TIME_BINS),
        _BIN_SECONDS[-1],
    )
    splits = {n: count.result(bin_seconds) for n, count in counts.items()}
    return {"schema": schema.name, "log": report or {}, "splits": splits}


def _read(paths: list[str], schema: Schema) -> Iterator[dict[str, np.ndarray]]:
    names = {"item_id", "labels", "label_weights", "num_candidates"}
    names.add("request_time")
    names |= {behavior.length for behavior in schema.behaviors}
    columns = tuple(
        column
        for column in schema.columns()
        if column.name in names or column.role is Role.KEY
    )
    # Without a graph, whose trace takes longer than most data sets.
    for records in tf.data.TFRecordDataset(paths).batch(_BATCH_SIZE):
        parsed = parse_requests(records, columns)
        yield {name: column.numpy() for name, column in parsed.items()}


class _SplitCount:
    """Adds up one split, batch by batch."""

    def __init__(self, schema: Schema):
        self.schema = schema
        self.users: set[bytes] = set()
        self.items: set[int | bytes] = set()
        self.candidates: collections.Counter = collections.Counter()
        self.lengths: dict[str, collections.Counter] = collections.defaultdict(
            collections.Counter
        )
        self.positives, self.impressions, self.totals = np.zeros(
            (3, len(schema.objectives))
        )
        self.times: list[np.ndarray] = []

    def add(self, batch: dict[str, np.ndarray]) -> None:
        num_candidates = batch["num_candidates"]
        self.users.update(batch["user_id"].tolist())
        real = np.arange(batch["item_id"].shape[1]) < num_candidates[:, None]
        self.items.update(batch["item_id"][real].tolist())
        self.candidates.update(num_candidates.tolist())
        for behavior in self.schema.behaviors:
            self.lengths[behavior.name].update(batch[behavior.length].tolist())
        counted = (batch["label_weights"] > 0) & real[..., None]
        labels = batch["labels"] * counted
        self.positives += np.count_nonzero(labels, (0, 1))
        self.totals += labels.sum((0, 1), dtype=np.float64)
        self.impressions += counted.sum((0, 1))
        self.times.append(batch["request_time"])

    def time_span(self) -> int:
        return max(map(np.max, self.times)) - min(map(np.min, self.times))

    def result(self, bin_seconds: int) -> dict[str, Any]:
        labels = {}
        for index, name in enumerate(self.schema.objective_names):
            positives = int(self.positives[index])
            impressions = int(self.impressions[index])
            labels[name] = {
                "positives": positives,
                "impressions": impressions,
                "rate": positives / impressions if impressions else None,
            }
            if name in self.schema.amount_names and impressions:
                labels[name]["mean"] = float(self.totals[index]) / impressions
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
            "time": _time(np.concatenate(self.times), bin_seconds),
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


def _time(times: np.ndarray, bin_seconds: int) -> dict[str, Any] | None:
    if not times.any():
        return None
    first, last = int(times.min()), int(times.max())
    return {
        "first": first,
        "last": last,
        "bin_seconds": bin_seconds,
        "requests": np.bincount((times - first) // bin_seconds).tolist(),
    }
