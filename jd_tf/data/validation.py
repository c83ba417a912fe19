"""Checks one request against a schema, where data enters the system."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from jd_tf.schema import (
    IMPRESSION,
    UNKNOWN_DWELL,
    Column,
    DataError,
    IdColumn,
    Role,
    Schema,
)

_NOT_NEGATIVE = ("age_seconds", "action_counts")


class RequestValidator:
    """Turns a request into checked arrays, or says what is wrong with it.

    A request is a flat dict of unpadded NumPy arrays, one per column of the
    schema; lengths need not be given, they are counted. Ids are never
    negative and, as 0 pads, never 0 in a history or among the candidates.

    Args:
        schema: what the request must look like.
    """

    def __init__(self, schema: Schema):
        self.schema = schema
        counted = {c.length for c in schema.columns() if c.length}
        self.columns = [c for c in schema.columns() if c.name not in counted]
        self.numeric = {
            "int64": np.int64,
            "int32": np.int32,
            "float32": np.float32,
        }
        self.item_ids = _wherever(schema, schema.item_id_columns)
        texts = [column for column in schema.item_columns if column.text]
        self.texts = _wherever(schema, texts)
        self.bias_sizes = {b.name: b.num_values for b in schema.bias_columns}
        names = schema.objective_names
        self.sample_spaces = [
            (index, names.index(objective.sample_space))
            for index, objective in enumerate(schema.objectives)
            if objective.sample_space != IMPRESSION
        ]

    def check(self, request: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Returns the request's columns and lengths as typed arrays.

        Raises:
            DataError: naming the column and the value.
        """
        checked: dict[str, np.ndarray] = {}
        for column in self.columns:
            if column.name not in request:
                raise DataError(
                    f"column `{column.name}` is missing; the schema "
                    f"`{self.schema.name}` asks for it"
                )
            array = self._typed(column, request[column.name])
            if column.ragged:
                length = checked.setdefault(
                    column.length, np.asarray(len(array), np.int32)
                )
                self._check_length(column, array, int(length))
            elif array.shape != column.shape[1:]:
                raise DataError(
                    f"column `{column.name}` must have shape "
                    f"{column.shape[1:]}, has {array.shape}"
                )
            if array.size and array.dtype.kind != "O":
                self._check_values(column, array)
            checked[column.name] = array
        self._check_labels(checked)
        return checked

    def _typed(self, column: Column, value: Any) -> np.ndarray:
        if column.dtype == "string":
            may_be_empty = not column.ragged or column.name in self.texts
            return _as_bytes(column, value, may_be_empty)
        array = np.asarray(value)
        dtype = self.numeric[column.dtype]
        if array.dtype.kind == "f" and column.dtype != "float32" and array.size:
            raise DataError(
                f"column `{column.name}` must hold whole numbers, holds "
                f"{array.dtype} such as {array.flat[0]}"
            )
        if array.dtype.kind not in "fiub":
            raise DataError(
                f"column `{column.name}` must hold {column.dtype}, holds "
                f"{array.dtype}"
            )
        return array.astype(dtype, copy=False)

    def _check_length(
        self, column: Column, array: np.ndarray, length: int
    ) -> None:
        inner = (column.inner,) if column.inner else ()
        if array.shape != (length, *inner):
            raise DataError(
                f"column `{column.name}` must have shape {(length, *inner)} "
                f"like the others of `{column.length}`, has {array.shape}"
            )
        if length > column.max_length:
            raise DataError(
                f"column `{column.name}` has {length} entries, more than the "
                f"schema's {column.max_length}; keep the newest"
            )
        if length == 0 and column.length == "num_candidates":
            raise DataError("column `item_id` is empty: nothing to rank")

    def _check_values(self, column: Column, array: np.ndarray) -> None:
        name = column.name
        if column.dtype == "float32":
            if not np.isfinite(array).all():
                bad = array[~np.isfinite(array)].flat[0]
                raise DataError(f"column `{name}` holds {bad}")
            if name.endswith(_NOT_NEGATIVE) and array.min() < 0:
                raise DataError(f"column `{name}` holds {array.min()} < 0")
            if name.endswith("_dwell_seconds"):
                bad = array[(array < 0) & (array != UNKNOWN_DWELL)]
                if bad.size:
                    raise DataError(
                        f"column `{name}` holds {bad[0]} < 0; "
                        f"{UNKNOWN_DWELL:g} stands for unknown"
                    )
            if name.endswith("_age_seconds") and (
                column.role is Role.HISTORY and (np.diff(array) < 0).any()
            ):
                raise DataError(
                    f"column `{name}` must be newest first, ages growing; "
                    f"it starts {array[:5].tolist()}"
                )
            return
        lowest = 1 if name in self.item_ids else 0
        if array.min() < lowest:
            raise DataError(
                f"column `{name}` holds {array.min()}; ids start at {lowest}"
                + (", 0 pads" if lowest else "")
            )
        if array.max() >= self.bias_sizes.get(name, np.inf):
            raise DataError(
                f"column `{name}` holds {array.max()}, the schema allows "
                f"0 to {self.bias_sizes[name] - 1}"
            )

    def _check_labels(self, checked: dict[str, np.ndarray]) -> None:
        labels, weights = checked["labels"], checked["label_weights"]
        if ((labels != 0) & (labels != 1)).any():
            bad = labels[(labels != 0) & (labels != 1)].flat[0]
            raise DataError(f"column `labels` holds {bad}, not 0 or 1")
        if weights.min() < 0:
            raise DataError(f"column `label_weights` holds {weights.min()} < 0")
        for index, space in self.sample_spaces:
            if (weights[:, index] * (1 - labels[:, space])).any():
                mine = self.schema.objectives[index]
                raise DataError(
                    f"column `label_weights`: `{mine.name}` counts an "
                    f"impression without `{mine.sample_space}`, its sample "
                    "space; its weight must be 0 there"
                )


def _wherever(schema: Schema, columns: Iterable[IdColumn]) -> set[str]:
    """Names of item columns among the candidates and in histories."""
    prefixes = ["", *(f"{behavior.name}_" for behavior in schema.behaviors)]
    return {prefix + c.name for prefix in prefixes for c in columns}


def _as_bytes(column: Column, value: Any, may_be_empty: bool) -> np.ndarray:
    """Strings (or, for keys, whole numbers) as an object array of bytes."""
    array = np.asarray(value, dtype=object)
    encoded = np.empty(array.shape, dtype=object)
    for index, item in enumerate(array.flat):
        if column.role is Role.KEY and isinstance(item, (int, np.integer)):
            item = str(int(item))
        if isinstance(item, str):
            item = item.encode("utf-8")
        if not isinstance(item, bytes):
            raise DataError(
                f"column `{column.name}` must hold strings, holds "
                f"{type(item).__name__} {item!r}"
            )
        if not item and not may_be_empty:
            raise DataError(
                f"column `{column.name}` holds an empty string, which pads"
            )
        encoded.flat[index] = item
    return encoded
