"""Checks one request against a schema, where data enters the system."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from jd_tf.schema import (
    IMPRESSION,
    SERVING_ROLES,
    UNKNOWN_DWELL,
    Column,
    DataError,
    IdColumn,
    Role,
    Schema,
)

_NOT_NEGATIVE = ("age_seconds", "action_counts")
_KEYS = ("request_id", "user_id")


class RequestValidator:
    """Turns a request into checked arrays, or names its first error.

    A request is a flat dict of unpadded arrays or nested lists, one a column;
    lengths need not be given, they are counted. Ids are never negative and,
    as 0 pads, never 0 in a history or among the candidates. No history is
    optional: an absent one is an empty list, since a column that is not there
    may as well be a name misspelt.

    A request to be served (`roles=SERVING_ROLES`) needs neither keys nor
    labels, which are left out; it may have no candidates, or more than the
    schema allows, which a client ranks in slices; and it has no columns that
    the schema does not know.

    Args:
        schema: the columns.
        roles: of the columns that are checked and returned; all by default.
        max_string_bytes: longer strings are refused; no limit by default.

    Example:
        >>> from jd_tf.schema import Behavior, Objective
        >>> schema = Schema(
        ...     name="shop",
        ...     item_columns=(IdColumn("item_id", num_buckets=100),),
        ...     behaviors=(Behavior("click", max_length=50),),
        ...     objectives=(Objective("click"),),
        ...     max_candidates=1000,
        ... )
        >>> checked = RequestValidator(schema, SERVING_ROLES).check(
        ...     {
        ...         "item_id": [3, 5],
        ...         "click_item_id": [7],
        ...         "click_age_seconds": [60.0],
        ...     }
        ... )
        >>> int(checked["num_candidates"])
        2
    """

    def __init__(
        self,
        schema: Schema,
        roles: Iterable[Role] = (),
        max_string_bytes: int | None = None,
    ):
        self.schema = schema
        self._all = schema.columns(*roles)
        self._serving = Role.LABEL not in {c.role for c in self._all}
        self._known = [column.name for column in schema.columns()]
        counted = {c.length for c in self._all if c.length}
        self._columns = [c for c in self._all if c.name not in counted]
        self._lengths = counted
        self._max_string_bytes = max_string_bytes
        self._item_ids = _wherever(schema, schema.item_id_columns)
        texts = [column for column in schema.item_columns if column.text]
        self._texts = _wherever(schema, texts)
        self._bias_sizes = {b.name: b.num_values for b in schema.bias_columns}
        names = schema.objective_names
        self._sample_spaces = [
            (index, names.index(objective.sample_space))
            for index, objective in enumerate(schema.objectives)
            if objective.sample_space != IMPRESSION
        ]

    def check(self, request: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Returns the columns and their lengths as typed arrays.

        Raises:
            DataError: naming the column and the value.
        """
        self._check_names(request)
        checked: dict[str, np.ndarray] = {}
        with np.errstate(over="ignore"):
            for column in self._columns:
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
        for name in self._lengths & set(request):
            if np.any(np.asarray(request[name]) != checked[name]):
                raise DataError(
                    f"column `{name}` is {request[name]}, but its columns "
                    f"have {int(checked[name])} entries"
                )
        if self._serving:
            for name in _KEYS:
                self._check_bytes(name, request.get(name))
        else:
            self._check_labels(checked)
        return {column.name: checked[column.name] for column in self._all}

    def _check_names(self, request: Mapping[str, Any]) -> None:
        if not isinstance(request, Mapping):
            raise DataError(
                "a request maps column names to values, this is a "
                f"{type(request).__name__}"
            )
        for name in request if self._serving else ():
            if name not in self._known:
                near = difflib.get_close_matches(str(name), self._known, 1)
                hint = f"; did you mean `{near[0]}`?" if near else ""
                raise DataError(
                    f"unknown column `{name}`: the schema "
                    f"`{self.schema.name}` has none of that name{hint}"
                )
        missing = [c.name for c in self._columns if c.name not in request]
        if missing:
            raise DataError(
                f"missing: {', '.join(f'`{name}`' for name in missing)}; every "
                f"column of the schema `{self.schema.name}` must be given, an "
                "absent history as []"
            )

    def _typed(self, column: Column, value: Any) -> np.ndarray:
        """The value as an array of the column's rank and dtype."""
        text = column.dtype == "string"
        dtype = np.dtype(object if text else column.dtype)
        try:
            array = np.asarray(value, object if text else None)
        except ValueError as error:
            raise DataError(
                f"column `{column.name}` holds lists of different lengths"
            ) from error
        if column.ragged and array.shape[:1] == (0,):
            return np.zeros((0, column.inner) if column.inner else 0, dtype)
        if array.ndim != len(column.shape) - 1:
            raise DataError(
                f"column `{column.name}` must have {len(column.shape) - 1} "
                f"dimensions, has {array.ndim}"
            )
        if text:
            return self._as_bytes(column, array)
        kinds = "if" if column.dtype == "float32" else "i"
        if column.role not in SERVING_ROLES:
            kinds += "b"  # labels, as comparisons make them
        if array.dtype.kind not in kinds:
            # Names the first value of another kind in a mixed list: null,
            # text, a huge number.
            for item in np.asarray(value, object).flat:
                if np.asarray(item).dtype.kind not in kinds:
                    raise DataError(
                        f"column `{column.name}` must hold {column.dtype}, "
                        f"holds {item!r}"
                    )
        return array.astype(dtype, copy=False)

    def _as_bytes(self, column: Column, array: np.ndarray) -> np.ndarray:
        """Strings (or, for keys, whole numbers) as bytes."""
        may_be_empty = not column.ragged or column.name in self._texts
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
            self._check_bytes(column.name, item)
            encoded.flat[index] = item
        return encoded

    def _check_bytes(self, name: str, text: Any) -> None:
        limit = self._max_string_bytes
        if limit is None or not isinstance(text, str | bytes):
            return
        length = len(text.encode() if isinstance(text, str) else text)
        if length > limit:
            raise DataError(
                f"column `{name}` holds a string of {length} bytes, more than "
                f"{limit}; cut it, or raise `max_string_bytes`"
            )

    def _check_length(
        self, column: Column, array: np.ndarray, length: int
    ) -> None:
        if array.shape != (length, *column.shape[2:]):
            raise DataError(
                f"column `{column.name}` must have shape "
                f"{(length, *column.shape[2:])} like the others of "
                f"`{column.length}`, has {array.shape}"
            )
        if self._serving and column.role is Role.CANDIDATE:
            return
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
                wrong = array[(array < 0) & (array != UNKNOWN_DWELL)]
                if wrong.size:
                    raise DataError(
                        f"column `{name}` holds {wrong[0]} < 0; "
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
        lowest = 1 if name in self._item_ids else 0
        if array.min() < lowest:
            raise DataError(
                f"column `{name}` holds {array.min()}; ids start at {lowest}"
                + (", 0 pads" if lowest else "")
            )
        if array.max() >= self._bias_sizes.get(name, np.inf):
            raise DataError(
                f"column `{name}` holds {array.max()}, the schema allows "
                f"0 to {self._bias_sizes[name] - 1}"
            )

    def _check_labels(self, checked: dict[str, np.ndarray]) -> None:
        labels, weights = checked["labels"], checked["label_weights"]
        if ((labels != 0) & (labels != 1)).any():
            bad = labels[(labels != 0) & (labels != 1)].flat[0]
            raise DataError(f"column `labels` holds {bad}, not 0 or 1")
        if weights.min() < 0:
            raise DataError(f"column `label_weights` holds {weights.min()} < 0")
        for index, space in self._sample_spaces:
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
