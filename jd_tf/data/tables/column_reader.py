"""Columns of tables as expressions of known types, and their bad values."""

import dataclasses
import time
from typing import Any

import ibis

from jd_tf.data.tables.config import TablesConfig
from jd_tf.data.tables.config_parts import IdConfig, KeyConfig, TableConfig
from jd_tf.data.tables.engines.engine import Engine
from jd_tf.data.tables.times import DAY, NAMES, TimeColumn, moment
from jd_tf.schema import DataError

# The ids of attributes that are missing: 0 and "" would be padding.
MISSING = {"int64": 1 << 62, "string": "missing"}
_SEPARATOR = "\x1f"
_WHOLE = r"^-?[0-9]+$"
_TRUE, _FALSE = ("true", "yes"), ("false", "no")
_MOST, _END = 3e38, (1 << 63) - 1
_NO_NUMBER = ("", "nan", "null", "none")


@dataclasses.dataclass(frozen=True)
class Problem:
    """Something that makes a row bad.

    Attributes:
        holds: an expression, True in bad rows, never null.
        value: an expression, the text for the error.
        message: names the column and the remedy.
    """

    holds: Any
    value: Any
    message: str


class ColumnReader:
    """Makes expressions of the columns of one table.

    Args:
        engine: finds units of time.
        config: the declaration.
        table: that of this table.
        raw: the table as it is.
        key_dtypes: of `user` and `item` in the tables read before; filled.

    Attributes:
        problems: of the columns read so far.
        notes: on them, for the report.
    """

    def __init__(
        self,
        engine: Engine,
        config: TablesConfig,
        table: TableConfig,
        raw: ibis.Table,
        key_dtypes: dict[str, str],
    ):
        self._engine, self._config, self._table = engine, config, table
        self._raw, self._key_dtypes = raw, key_dtypes
        self.problems: list[Problem] = []
        self.notes: list[str] = []
        self._earliest = moment(config.earliest, config.zone, "earliest")
        self._latest = int(time.time() * 1000) + DAY
        if config.latest:
            self._latest = moment(config.latest, config.zone, "latest")

    def _refuse(self, holds: Any, name: str, why: str) -> None:
        value = self._raw[name].cast("string").fill_null("null")
        message = f"column `{name}` {why}"
        self.problems.append(Problem(holds.fill_null(False), value, message))

    def key(self, key: str, name: str) -> Any:
        """Returns the ids of users or items."""
        wanted = self._config.ids.get(key, KeyConfig())
        dtype = self._key_dtypes.get(key, wanted.dtype)
        ids, found = self._ids(IdConfig(name, dtype, wanted.offset))
        self._key_dtypes[key] = found
        source = self._raw[name]
        empty = source.isnull() | (source.cast("string") == "")
        self._refuse(empty, name, f"has no {key} id")
        if found == "int64":
            remedy = f"(set `ids.{key}.dtype: string`)"
            self._refuse(ids.isnull(), name, f"holds no whole number {remedy}")
            if key == "item":
                remedy = f"and 0 pads (set `ids.{key}.offset: 1`)"
                self._refuse(ids < 1, name, f"holds ids below 1, {remedy}")
        return ids

    def text(self, name: str) -> Any:
        """Returns texts; none is missing."""
        text = self._raw[name].cast("string")
        self._refuse(text.isnull(), name, "has no value")
        return text

    def time(
        self, name: str, date_end: bool = False, optional: bool = False
    ) -> Any:
        """Returns milliseconds; see `TimeColumn`."""
        config, unit = self._config, self._table.unit
        found = TimeColumn(
            self._engine, self._raw, name, config.zone, unit, date_end
        )
        if found.unit:
            self.notes.append(f"Column `{name}`: in {NAMES[found.unit]}.")
        instant, most = found.milliseconds, NAMES.get(found.unit, "")
        unread = instant.isnull()
        if optional:
            unread = unread & self._raw[name].notnull()
        for holds, why in (
            (unread, "holds no time (numbers or ISO texts)"),
            (
                found.mixed,
                f"mixes units: most times are in {most} (or set `unit`)",
            ),
            (
                instant < self._earliest,
                f"holds times before {config.earliest}; 1970 stands for none "
                "(or set `earliest`)",
            ),
            (
                instant > self._latest,
                f"holds times after {config.latest or 'tomorrow'} (or set "
                "`latest`)",
            ),
        ):
            self._refuse(holds, name, why)
        return instant

    def count(self, name: str, most: float = _MOST) -> Any:
        """Returns numbers from 0 to a limit, 0 where there are none."""
        number = self.number(name).fill_null(0.0)
        wrong = (number < 0) | (number > most)
        self._refuse(wrong, name, f"holds numbers below 0 or above {most:g}")
        return wrong.ifelse(0.0, number)

    def number(self, name: str) -> Any:
        """Returns finite numbers, null where there are none."""
        source = self._raw[name]
        kind = source.type()
        if kind.is_boolean():
            return source.cast("int8").cast("float64")
        if kind.is_numeric():
            number = source.cast("float64")
            return number if kind.is_integer() else _finite(number)
        if not kind.is_string():
            raise DataError(f"column `{name}`: is {kind}, not a number.")
        lower = source.lower()
        text = ibis.cases(
            (lower.isin(_TRUE), "1"),
            (lower.isin(_FALSE), "0"),
            (lower.isin(_NO_NUMBER), None),
            else_=source,
        )
        number = text.try_cast("float64")
        wrong = text.notnull() & number.isnull()
        self._refuse(wrong, name, "holds no number")
        return _finite(number)

    def amount(self, name: str) -> Any:
        """Returns numbers from 0, null where there are none."""
        number = self.number(name)
        self._refuse(number < 0, name, "holds amounts below 0")
        return number

    def attribute(self, column: IdConfig) -> Any:
        """Returns ids of an attribute, or lists of them; none is null."""
        source = self._raw[column.column]
        if column.separator or source.type().is_array():
            return _several(column, source)
        ids, dtype = self._ids(column)
        if column.text:
            return ids.fill_null("")
        if dtype == "string":
            return (ids == "").ifelse(None, ids).fill_null(MISSING[dtype])
        wrong = ids.isnull() & (source.cast("string") != "")
        remedy = "(set `dtype: string`)"
        self._refuse(wrong, column.column, f"holds no whole number {remedy}")
        (low,) = self._engine.rows(self._raw.agg(rows=(ids < 1).sum()))
        if low["rows"]:
            self.notes.append(
                f"Column `{column.column}`: {low['rows']} ids below 1 count as "
                "missing (or set `offset`)."
            )
        return (ids < 1).ifelse(None, ids).fill_null(MISSING[dtype])

    def _ids(self, column: IdConfig) -> tuple[Any, str]:
        """Returns ids, null where there are none, and their dtype."""
        source = self._raw[column.column]
        kind = source.type()
        if not (kind.is_integer() or kind.is_string()):
            raise DataError(
                f"column `{column.column}`: is {kind}; ids are whole numbers "
                "or texts. Write it as one of them (of pandas, where some are "
                "missing, as Int64)."
            )
        dtype = column.dtype or ("int64" if kind.is_integer() else "string")
        return _typed(source, kind, dtype, column), dtype


def _typed(source: Any, kind: Any, dtype: str, column: IdConfig) -> Any:
    if dtype not in MISSING:
        raise DataError(
            f"column `{column.column}`: `dtype` must be int64 or string. "
            f"Got: {dtype!r}."
        )
    if dtype == "string":
        return source.cast("string")
    if kind.is_integer():
        return _moved(source.try_cast("int64"), column.offset)
    # Tables of pandas hold whole numbers such as 266079.0.
    whole = source.re_replace(r"\.0*$", "")
    number = whole.re_search(_WHOLE).ifelse(whole, None).try_cast("int64")
    return _moved(number, column.offset)


def _moved(ids: Any, offset: int) -> Any:
    """Returns ids and an offset; null beyond 64 bits."""
    end = _END - offset if offset > 0 else -_END - offset
    beyond = ids > end if offset > 0 else ids < end
    return beyond.ifelse(None, ids) + offset


def _finite(number: Any) -> Any:
    """Returns numbers, null of what float32 cannot hold."""
    endless = number.isnan() | (number.abs() > _MOST)
    return endless.ifelse(None, number)


def _several(column: IdConfig, source: Any) -> Any:
    kind = source.type()
    if kind.is_array():
        kind, values = kind.value_type, source
    else:
        # Spark splits by a regular expression: by a sign that is none.
        plain = source.replace(column.separator, _SEPARATOR)
        values = plain.split(_SEPARATOR)
    dtype = column.dtype or ("int64" if kind.is_integer() else "string")
    padding = 0 if dtype == "int64" else ""
    ids = values.map(lambda one: _typed(one, kind, dtype, column))
    values = ids.filter(lambda one: one > padding)
    return ibis.coalesce(values, ibis.literal([], type=f"array<{dtype}>"))
