"""Logged impressions in the format of the DMT paper (CIKM 2020)."""

import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from jd_tf.data.log_report import LogReport
from jd_tf.schema import DataError

# name in the schema -> suffix of the item's and of the history's columns.
ID_COLUMNS = {
    "item_id": "sku",
    "category_id": "c3",
    "parent_category_id": "c2",
    "brand_id": "brand",
    "shop_id": "shop",
}
# Name in the schema -> prefix of its columns.
BEHAVIORS = {"click": "clk", "order": "ord", "cart": "cart"}
# name in the schema -> its column and the number that larger ones become.
PLACES = {"position": ("pos", 400), "page": ("page", 100)}
UNKNOWN = b"unknow"
# One-hot `mask` over the classes 0 | 1, 2 | 4, 5; JD's code reads it so.
_CLASSES = (0, 1, 2, 4, 5)
_FLOATS = "float_list"


def read_examples(
    path: Path, report: LogReport
) -> Iterator[tuple[int, tf.train.Example]]:
    """Yields the numbered examples of a TFRecord file, gzipped or not.

    A record that cannot be framed ends the file, as one bad record.
    """
    with path.open("rb") as file:
        start = file.read(2)
    if not start:
        raise DataError(f"{path}: the file is empty. Copy it again.")
    number = 0
    records = _records(path, gzipped=start == b"\x1f\x8b")
    while True:
        try:
            example = tf.train.Example.FromString(next(records))
        except StopIteration:
            break
        except (EOFError, OSError, zlib.error, tf.errors.OpError) as error:
            reason = getattr(error, "message", "") or str(error)
            report.tolerate(
                f"{path}: record {number}: {reason.splitlines()[0]}: the file "
                "is truncated, damaged or no TFRecord"
            )
            return
        except DecodeError:
            report.tolerate(f"{path}: record {number}: no tf.train.Example")
        else:
            yield number, example
        number += 1
    if not number:
        raise DataError(f"{path}: no records in it. Copy it again.")


class RecordFormat:
    """Names and sizes of the columns, found in any record.

    The paper has `ord_seq_*_12m_50`, published files `ord_seq_*_12m_10`: so
    the suffix is looked up, and a history without columns is an error.
    """

    def __init__(self, example: tf.train.Example):
        present = example.features.feature
        self.suffixes: dict[str, str] = {}
        self.max_lengths: dict[str, int] = {}
        for behavior, prefix in BEHAVIORS.items():
            pattern = re.compile(rf"{prefix}_seq_sku_(\w+_(\d+))$")
            found = [m for m in map(pattern.match, sorted(present)) if m]
            if len(found) != 1:
                raise DataError(
                    f"there must be one column `{prefix}_seq_sku_*`, the "
                    f"{behavior} history; there are "
                    f"{[m.string for m in found]} among {len(present)} columns"
                )
            self.suffixes[behavior] = found[0][1]
            self.max_lengths[behavior] = int(found[0][2])
        self.num_features = len(_feature(example, "features", _FLOATS))

    def user(self, example: tf.train.Example) -> dict[str, np.ndarray]:
        """Reads the histories, newest first."""
        found: dict[str, np.ndarray] = {}
        for behavior in BEHAVIORS:
            found |= self._history(example, behavior)
        return found

    def candidate(self, example: tf.train.Example) -> dict[str, Any]:
        """Reads ids, features, place and labels of the candidate."""
        found: dict[str, Any] = {}
        for name, short in ID_COLUMNS.items():
            column = f"item_fea_{short}"
            if column not in example.features.feature:
                column = f"item_{short}"
            found[name] = _string(example, column)
        features = np.array(_feature(example, "features", _FLOATS), np.float32)
        finite = np.isfinite(features).all()
        if len(features) != self.num_features or not finite:
            raise DataError(
                f"column `features` must hold {self.num_features} finite "
                f"numbers, holds {len(features)}"
            )
        found["item_dense"] = features
        for name, (column, most) in PLACES.items():
            value = _string(example, column)
            place = int(_number(value, column))
            if place < 1:
                raise DataError(
                    f"column `{column}` must be at least 1. Got: {value!r}"
                )
            found[name] = min(place, most)
        return {**found, "labels": _labels(example)}

    def _history(
        self, example: tf.train.Example, behavior: str
    ) -> dict[str, np.ndarray]:
        name = f"{BEHAVIORS[behavior]}_seq_{{}}_{self.suffixes[behavior]}"
        shorts = (*ID_COLUMNS.values(), "ts")
        columns = {s: _strings(example, name.format(s)) for s in shorts}
        sku, time = name.format("sku"), name.format("ts")
        length = len(columns["sku"])
        for short, values in columns.items():
            if len(values) != length:
                raise DataError(
                    f"column `{name.format(short)}` has {len(values)} events, "
                    f"`{sku}` has {length}"
                )
        if columns["sku"] == [UNKNOWN]:
            columns, length = {short: [] for short in shorts}, 0
        if length > self.max_lengths[behavior]:
            raise DataError(
                f"column `{sku}` has {length} events, more than its name allows"
            )
        self._check_length(example, behavior, length)
        ages = columns["ts"]
        seconds = np.array([_number(age, time) for age in ages])
        if (seconds < 0).any() or (np.diff(seconds) > 0).any():
            raise DataError(
                f"column `{time}` must count the seconds before the request, "
                f"oldest first. Got: {ages[:5]}"
            )
        found = {
            f"{behavior}_{name}": np.array(columns[short][::-1], object)
            for name, short in ID_COLUMNS.items()
        }
        found[f"{behavior}_event_time"] = -seconds[::-1].astype(np.int64)
        return found

    def _check_length(
        self, example: tf.train.Example, behavior: str, length: int
    ) -> None:
        column = f"{BEHAVIORS[behavior]}_seq_len_{self.suffixes[behavior]}"
        stored = _string(example, column)
        stated = 0 if stored == UNKNOWN else _number(stored, column)
        allowed = {length}
        if behavior == "cart":
            # In every published record this column holds the length of the
            # neighbouring exposures instead.
            near = example.features.feature["near_expo_seq_sku"].bytes_list
            allowed.add(sum(value != UNKNOWN for value in near.value))
        if stated not in allowed:
            raise DataError(
                f"column `{column}` states {stated} events, there are {length}"
            )


def _records(path: Path, gzipped: bool) -> Iterator[bytes]:
    kind = "GZIP" if gzipped else ""
    yield from tf.data.TFRecordDataset(str(path), kind).as_numpy_iterator()
    if gzipped:
        # TensorFlow takes a gzip file that was cut between two records, or
        # inside its checksum, for a whole one; Python's gzip does not.
        with gzip.open(path, "rb") as file:
            while file.read(1 << 20):
                continue


def _labels(example: tf.train.Example) -> tuple[bool, bool]:
    """Returns clicked and ordered.

    `label` is described as 0, 1 or 2 for a click, 4 or 5 for an order. In the
    published records it is 0 or 1, clicked; the class is in `mask`, one-hot.
    """
    label = _feature(example, "label", _FLOATS)
    if len(label) != 1 or label[0] not in _CLASSES:
        raise DataError(
            f"column `label` must be one of {_CLASSES}. Got: {label}"
        )
    kind = int(label[0])
    if "mask" in example.features.feature:
        mask = np.array(_feature(example, "mask", _FLOATS))
        if mask.shape != (len(_CLASSES),) or sorted(mask) != [0] * 4 + [1]:
            raise DataError(f"column `mask` must be one-hot. Got: {mask}")
        kind = _CLASSES[int(mask.argmax())]
        if (kind > 0) != (label[0] > 0):
            raise DataError(
                f"column `label` is {label[0]}, `mask` is of class {kind}"
            )
    return kind > 0, kind > 2


def _strings(example: tf.train.Example, column: str) -> list[bytes]:
    """Reads a column of byte strings, which must be there."""
    values = _feature(example, column, "bytes_list")
    if not values:
        raise DataError(
            f"column `{column}` must hold some byte strings, holds 0"
        )
    if not all(values):
        raise DataError(f"column `{column}` holds an empty string")
    return values


def _string(example: tf.train.Example, column: str) -> bytes:
    values = _strings(example, column)
    if len(values) > 1:
        raise DataError(
            f"column `{column}` must hold 1 byte string, holds {len(values)}"
        )
    return values[0]


def _feature(example: tf.train.Example, column: str, kind: str) -> list:
    if column not in example.features.feature:
        raise DataError(f"no column `{column}`")
    feature = example.features.feature[column]
    found = feature.WhichOneof("kind")
    if found != kind:
        raise DataError(f"column `{column}` must be a {kind}, is {found}")
    return list(getattr(feature, kind).value)


def _number(value: bytes, column: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = np.nan
    if not np.isfinite(number):
        raise DataError(f"column `{column}` must hold numbers. Got: {value!r}")
    return number
