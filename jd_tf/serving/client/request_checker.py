"""Checks a request that wants a ranking, before a model sees it."""

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any

import numpy as np

from jd_tf.data.validation import RequestValidator
from jd_tf.schema import (
    SERVING_ROLES,
    Column,
    DataError,
    Role,
    Schema,
)

# Far more candidates than a request can carry: whoever ranks cuts slices.
_ANY_NUMBER = 2**31 - 1


class RequestChecker:
    """Turns a request into the typed arrays a signature takes.

    The laws of the data hold for served requests too (ids, ages, finite
    numbers: `RequestValidator`), with three differences: there are no labels,
    keys are optional, and there may be no candidates, or more than the schema
    allows, which whoever ranks answers in slices.

    No history is optional. An absent one is an empty list; a column that is
    not there is an error, since it may as well be a name misspelt.

    Args:
        schema: what the request must look like.
    """

    def __init__(self, schema: Schema):
        self.schema = schema
        self._known = [column.name for column in schema.columns()]
        self._lengths = {c.length for c in schema.columns() if c.length}
        self._served = schema.columns(*SERVING_ROLES)
        self._columns = [
            column
            for column in self._served
            if column.name not in self._lengths
        ]
        self._validator = RequestValidator(
            dataclasses.replace(
                schema,
                bias_columns=(),
                reward=False,
                oracle=False,
                max_candidates=_ANY_NUMBER,
            )
        )
        self._training_only = [
            column
            for column in self._validator.columns
            if column.role not in SERVING_ROLES
        ]

    def check(self, request: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Returns the columns that are served, and their lengths.

        Args:
            request: unpadded columns by name: arrays or nested lists.
                Training-only columns of the schema are left out.

        Raises:
            DataError: naming the column and the value.
        """
        self._check_names(request)
        arrays = {c.name: _array(c, request[c.name]) for c in self._columns}
        complete = dict(arrays)
        num_candidates = len(arrays["item_id"])
        if not num_candidates:
            for column in self.schema.columns(Role.CANDIDATE):
                if column.ragged:
                    self._check_empty(column, arrays[column.name])
                    complete[column.name] = _filler(column, 1)
        for column in self._training_only:
            complete[column.name] = _filler(column, max(num_candidates, 1))
        with np.errstate(over="ignore"):
            checked = self._validator.check(complete)
        for name in self._lengths & set(request):
            if np.any(np.asarray(request[name]) != checked[name]):
                raise DataError(
                    f"column `{name}` says {request[name]}, but its columns "
                    f"have {int(checked[name])} entries"
                )
        checked = {c.name: checked[c.name] for c in self._served}
        if not num_candidates:
            for column in self.schema.columns(Role.CANDIDATE):
                checked[column.name] = _filler(column, 0)
        return checked

    def _check_names(self, request: Mapping[str, Any]) -> None:
        if not isinstance(request, Mapping):
            raise DataError(
                "a request maps column names to values, this is a "
                f"{type(request).__name__}"
            )
        for name in request:
            if name not in self._known:
                near = difflib.get_close_matches(str(name), self._known, 1)
                hint = f"; did you mean `{near[0]}`?" if near else ""
                raise DataError(
                    f"unknown column `{name}`: the model's schema "
                    f"`{self.schema.name}` has none of that name{hint}"
                )
        missing = [c.name for c in self._columns if c.name not in request]
        if missing:
            raise DataError(
                "missing: "
                + ", ".join(f"`{name}`" for name in missing)
                + "; every column must be given, an absent history as []"
            )

    def _check_empty(self, column: Column, array: np.ndarray) -> None:
        if len(array):
            raise DataError(
                f"column `{column.name}` has {len(array)} entries, but "
                "`item_id` has none"
            )


def _array(column: Column, value: Any) -> np.ndarray:
    """The value as an array of the column's rank and kind."""
    is_string = column.dtype == "string"
    try:
        array = np.asarray(value, object if is_string else None)
    except ValueError as error:
        raise DataError(
            f"column `{column.name}` holds lists of different lengths"
        ) from error
    if column.ragged and array.shape[:1] == (0,):
        return _filler(column, 0)
    if array.ndim != len(column.shape) - 1:
        raise DataError(
            f"column `{column.name}` must have {len(column.shape) - 1} "
            f"dimensions, has {array.ndim}"
        )
    kinds = "if" if column.dtype == "float32" else "i"
    if not is_string and array.dtype.kind not in kinds:
        # Names the first stranger of a mixed list: null, text, a huge number.
        for stranger in np.asarray(value, object).flat:
            if np.asarray(stranger).dtype.kind not in kinds:
                raise DataError(
                    f"column `{column.name}` must hold {column.dtype}, holds "
                    f"{stranger!r}"
                )
        array = array.astype(column.dtype)
    return array


def _filler(column: Column, rows: int) -> np.ndarray:
    """Zeros, for keys and labels nobody reads, and ones for candidates."""
    shape = (rows,) if column.ragged else ()
    if column.inner:
        shape = (*shape, column.inner)
    if column.dtype == "string":
        return np.full(shape, b"1", object)
    one = column.role is Role.CANDIDATE and rows > 0
    return np.full(shape, int(one), column.dtype)
