"""Checks one request against a schema, where data enters the system."""

import difflib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np

from jd_tf.schema import (
    IMPRESSION,
    SERVING_ROLES,
    UNKNOWN_DWELL,
    Column,
    DataError,
    Role,
    Schema,
)

# Seconds of the years before 5138; milliseconds since 1973 are beyond.
_LATEST_TIME = 10**11
_PADDING = (0, "", b"")
_OF_LABELS = ("item_id", "labels", "label_weights")


class RequestValidator:
    """Turns a request into checked arrays, or names its first error.

    A request is a flat dict of unpadded arrays or nested lists, one a column;
    lengths need not be given, they are counted. Ids are never negative and,
    as 0 pads, never 0 in a history or among the candidates. Of a multi-valued
    column each item has a list; 0 and the empty string in it are padding, and a
    value that is there twice counts once. No history is optional: an absent
    one is an empty list, since a column that is not there may as well be a
    name misspelt.

    A request to be served (`roles=SERVING_ROLES`) needs neither keys nor
    labels, which are left out; it may have no candidates, or more than the
    schema allows, which a client ranks in slices; and it has no columns that
    the schema does not know.

    Args:
        schema: the columns.
        roles: of the columns that are checked and returned; all by default.
        max_string_bytes: longer strings are refused; no limit by default.

    Example:
        >>> from jd_tf.schema import Behavior, IdColumn, Objective
        >>> schema = Schema(
        ...     name="shop",
        ...     item_columns=(IdColumn("item_id", num_buckets=100),),
        ...     behaviors=(Behavior("click", max_length=50),),
        ...     objectives=(Objective("click"),),
        ...     max_candidates=1000,
        ... )
        >>> request = {"item_id": [3, 5], "click_item_id": [7]}
        >>> request |= {"click_event_time": [940], "request_time": 1000}
        >>> checked = RequestValidator(schema, SERVING_ROLES).check(request)
        >>> int(checked["num_candidates"])
        2
    """

    def __init__(
        self,
        schema: Schema,
        roles: Iterable[Role] = (),
        max_string_bytes: int | None = None,
    ):
        self._schema = schema
        self._all = schema.columns(*roles)
        self._serving = Role.LABEL not in {c.role for c in self._all}
        self._known = [column.name for column in schema.columns()]
        self._lengths = {c.length for c in self._all if c.length}
        self._columns = [c for c in self._all if c.name not in self._lengths]
        self._max_string_bytes = max_string_bytes
        # Item columns have the same names in histories, after a prefix.
        prefixes = ["", *(f"{b.name}_" for b in schema.behaviors)]
        ids = [c.name for c in schema.item_id_columns]
        self._item_ids = {p + name for p in prefixes for name in ids}
        texts = [c.name for c in schema.item_columns if c.text]
        self._texts = {p + name for p in prefixes for name in texts}
        self._bias_sizes = {b.name: b.num_values for b in schema.bias_columns}

    def check(
        self, request: Mapping[str, Any], needed: Collection[str] | None = None
    ) -> dict[str, np.ndarray]:
        """Returns the columns and their lengths as typed arrays.

        Args:
            request: the columns by name.
            needed: names of those that must be there; all by default.

        Raises:
            DataError: naming the column and the value.
        """
        self._check_names(request)
        self.check_missing(request, needed)
        checked: dict[str, np.ndarray] = {}
        with np.errstate(over="ignore"):
            for column in (c for c in self._columns if c.name in request):
                array = self._typed(column, request[column.name])
                if column.ragged and column.length not in checked:
                    checked[column.length] = np.asarray(len(array), np.int32)
                problem = self._shape_problem(
                    column, array, checked.get(column.length)
                ) or self._value_problem(column, array)
                if problem:
                    raise _wrong(column.name, problem)
                checked[column.name] = array
        for name in self._lengths & set(request) & set(checked):
            if np.any(np.asarray(request[name]) != checked[name]):
                raise _wrong(
                    name,
                    f"is {request[name]}, but its columns have "
                    f"{int(checked[name])} entries",
                )
        self._check_times(checked)
        if self._serving:
            for name in ("request_id", "user_id"):
                self._check_bytes(name, request.get(name))
        else:
            self._check_labels(**{n: checked[n] for n in _OF_LABELS})
        return {c.name: checked[c.name] for c in self._all if c.name in checked}

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
                    f"`{self._schema.name}` has none of that name{hint}"
                )

    def check_missing(
        self, request: Mapping[str, Any], needed: Collection[str] | None = None
    ) -> None:
        """Raises an error that names all missing columns; see `check`."""
        missing = [
            f"`{column.name}`"
            for column in self._columns
            if column.name not in request
            and (needed is None or column.name in needed)
        ]
        if missing:
            raise DataError(
                f"missing: {', '.join(missing)}; every column of the schema "
                f"`{self._schema.name}` that is read must be given, an absent "
                "history as []"
            )

    def _typed(self, column: Column, value: Any) -> np.ndarray:
        """The value as an array of the column's rank and dtype."""
        name, text = column.name, column.dtype == "string"
        if column.multi_valued:
            value = _pad_values(column, value)
        dtype = np.dtype(object if text else column.dtype)
        try:
            array = np.asarray(value, object if text else None)
        except ValueError as error:
            raise _wrong(name, "holds lists of different lengths") from error
        if column.ragged and array.shape[:1] == (0,):
            return np.zeros((0, column.inner) if column.inner else 0, dtype)
        rank = len(column.shape) - 1
        if array.ndim != rank:
            raise _wrong(name, f"must have {rank} dimensions, has {array.ndim}")
        if text:
            items = [self._as_bytes(column, item) for item in array.flat]
            encoded = np.empty(len(items), object)
            encoded[:] = items
            return encoded.reshape(array.shape)
        # Labels may be bool, as comparisons make them.
        kinds = "if" if column.dtype == "float32" else "i"
        kinds += "" if column.role in SERVING_ROLES else "b"
        if array.dtype.kind not in kinds:
            # Names the first value of another kind in a mixed list: null,
            # text, a huge number.
            for item in np.asarray(value, object).flat:
                if np.asarray(item).dtype.kind not in kinds:
                    raise _wrong(
                        name, f"must hold {column.dtype}, holds {item!r}"
                    )
        if dtype.kind == "i" and array.size:
            limits: Any = np.iinfo(dtype)  # type: ignore[type-var]
            for extreme in (int(array.min()), int(array.max())):
                if not limits.min <= extreme <= limits.max:
                    raise _wrong(name, f"holds {extreme}, beyond {dtype}")
        return array.astype(dtype, copy=False)

    def _as_bytes(self, column: Column, item: Any) -> bytes:
        """A string (or, for keys, a whole number) as bytes."""
        name = column.name
        if column.role is Role.KEY and isinstance(item, (int, np.integer)):
            item = str(int(item))
        if isinstance(item, str):
            item = item.encode("utf-8")
        if not isinstance(item, bytes):
            kind = type(item).__name__
            raise _wrong(name, f"must hold strings, holds {kind} {item!r}")
        pads = column.multi_valued or name in self._texts
        if not item and column.ragged and not pads:
            raise _wrong(name, "holds an empty string, which pads")
        self._check_bytes(name, item)
        return item

    def _check_bytes(self, name: str, text: Any) -> None:
        limit = self._max_string_bytes
        if limit is None or not isinstance(text, str | bytes):
            return
        length = len(text.encode() if isinstance(text, str) else text)
        if length > limit:
            raise _wrong(
                name,
                f"holds a string of {length} bytes, more than {limit}; cut it, "
                "or raise `max_string_bytes`",
            )

    def _shape_problem(
        self, column: Column, array: np.ndarray, length: np.ndarray | None
    ) -> str:
        expected, others = column.shape[1:], ""
        if length is not None:
            expected = (int(length), *column.shape[2:])
            others = f" like the others of `{column.length}`"
        if array.shape != expected:
            return f"must have shape {expected}{others}, has {array.shape}"
        if length is None or (self._serving and column.role is Role.CANDIDATE):
            return ""
        if length > column.max_length:
            return (
                f"has {length} entries, more than the schema's "
                f"{column.max_length}; keep the newest"
            )
        empty = length == 0 and column.length == "num_candidates"
        return "is empty: nothing to rank" if empty else ""

    def _value_problem(self, column: Column, array: np.ndarray) -> str:
        name = column.name
        if not array.size or array.dtype.kind == "O":
            return ""
        if column.dtype == "float32":
            return _float_problem(column, array)
        if name == "request_time" or name.endswith("_event_time"):
            return _time_problem(array)
        lowest = 1 if name in self._item_ids else 0
        if array.min() < lowest - column.multi_valued:
            pads = ", 0 pads" if lowest else ""
            return f"holds {array.min()}; ids start at {lowest}{pads}"
        size = self._bias_sizes.get(name, np.inf)
        if array.max() >= size:
            return f"holds {array.max()}, the schema allows 0 to {size - 1}"
        return ""

    def _check_times(self, checked: Mapping[str, np.ndarray]) -> None:
        """Raises an error for an event after the request."""
        for behavior in self._schema.behaviors:
            name = f"{behavior.name}_event_time"
            if not {name, "request_time"} <= set(checked):
                continue
            times, now = checked[name], checked["request_time"]
            if len(times) and times[0] > now:
                raise _wrong(
                    name,
                    f"holds {times[0]}, after `request_time` {now}; "
                    "leave out what happened since, or give both in seconds "
                    "of one clock",
                )

    def _check_labels(
        self, item_id: np.ndarray, labels: np.ndarray, label_weights: np.ndarray
    ) -> None:
        weights, items = label_weights, item_id.tolist()
        distinct, counts = np.unique(item_id, return_counts=True)
        if len(distinct) < len(items):
            twice = distinct[counts > 1].tolist()[0]
            raise _wrong(
                "item_id",
                f"holds {twice!r} more than once, at places "
                f"{[place for place, one in enumerate(items) if one == twice]};"
                " a request shows an item once: join its labels",
            )
        num_outcomes = len(self._schema.outcome_names)
        outcomes, amounts = np.split(labels, [num_outcomes], axis=1)
        wrong = outcomes[(outcomes != 0) & (outcomes != 1)]
        if wrong.size:
            raise _wrong("labels", f"holds {wrong[0]}, not 0 or 1")
        for index, name in enumerate(self._schema.amount_names):
            if (amounts[:, index] < 0).any():
                raise _wrong(
                    "labels",
                    f"holds {amounts[:, index].min()} as `{name}`, an amount; "
                    "give what is not known a label weight of 0",
                )
        if weights.min() < 0:
            raise _wrong("label_weights", f"holds {weights.min()} < 0")
        names = self._schema.objective_names
        for index, objective in enumerate(self._schema.objectives):
            if objective.given:
                given = names.index(objective.given)
                without = (
                    (labels[:, index] > 0)
                    & (labels[:, given] == 0)
                    & (np.minimum(weights[:, index], weights[:, given]) > 0)
                )
                if without.any():
                    place = int(np.argmax(without))
                    raise _wrong(
                        "labels",
                        f"holds `{objective.name}` without "
                        f"`{objective.given}`, which it is `given`, of item "
                        f"{items[place]!r} at place {place}; set both, or "
                        "leave `given` out of the schema",
                    )
            space = objective.sample_space
            if space == IMPRESSION:
                continue
            if (weights[:, index] * (1 - labels[:, names.index(space)])).any():
                raise DataError(
                    f"column `label_weights`: `{objective.name}` counts an "
                    f"impression without `{space}`, its sample space; its "
                    "weight must be 0 there"
                )


def _wrong(name: str, problem: str) -> DataError:
    return DataError(f"column `{name}` {problem}")


def _pad_values(column: Column, value: Any) -> list[list[Any]]:
    """The distinct values of every item, padded to the same number."""
    items = value.tolist() if isinstance(value, np.ndarray) else value
    try:
        if any(isinstance(item, str | bytes) for item in items):
            raise TypeError
        rows = [
            list(dict.fromkeys(one for one in item if one not in _PADDING))
            for item in items
        ]
    except (TypeError, ValueError) as error:
        problem = f"must hold a list of values for each item, is {value!r:.80}"
        raise _wrong(column.name, problem) from error
    for place, row in enumerate(rows):
        if len(row) > column.inner:
            raise _wrong(
                column.name,
                f"holds {len(row)} values of the item at place {place}, more "
                f"than its `max_values` {column.inner}: {row!r:.80}; keep the "
                "best, or raise `max_values`",
            )
    fill = "" if column.dtype == "string" else 0
    return [row + [fill] * (column.inner - len(row)) for row in rows]


def _float_problem(column: Column, array: np.ndarray) -> str:
    name, finite = column.name, np.isfinite(array)
    if not finite.all():
        return f"holds {array[~finite][0]}"
    lowest = array.min()
    if lowest < 0 and name.endswith("_action_counts"):
        return f"holds {lowest} < 0"
    if lowest < 0 and name.endswith("_dwell_seconds"):
        wrong = array[(array < 0) & (array != UNKNOWN_DWELL)]
        unknown = f"{UNKNOWN_DWELL:g} stands for unknown"
        return f"holds {wrong[0]} < 0; {unknown}" if wrong.size else ""
    return ""


def _time_problem(array: np.ndarray) -> str:
    wrong = array[(array > _LATEST_TIME) | (array < -_LATEST_TIME)]
    if wrong.size:
        return (
            f"holds {wrong.flat[0]}, beyond {_LATEST_TIME}; it must be in "
            "seconds: are these milliseconds?"
        )
    if (np.diff(array.reshape(-1)) > 0).any():
        start = array[:5].tolist()
        return f"must be newest first, times falling; it starts {start}"
    return ""
