"""Tables as they are become tables of known columns; bad rows are counted.

Keys are `user`, `item` and `time` (milliseconds); ids of attributes have no
null: what is missing has an id of its own.
"""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import ibis

from jd_tf.data.sources.source import LogReport
from jd_tf.data.tables.config import (
    IdConfig,
    KeyConfig,
    TableConfig,
    TablesConfig,
)
from jd_tf.data.tables.engines.engine import Engine
from jd_tf.data.tables.times import DAY, NAMES, TimeColumn, moment
from jd_tf.schema import DataError

# The ids of attributes that are missing: 0 and "" would be padding.
MISSING = {"int64": 1 << 62, "string": "missing"}
_SEPARATOR = "\x1f"
_WHOLE = r"^-?[0-9]+$"


@dataclasses.dataclass
class _Problem:
    condition: Any
    value: Any
    message: str


class TableCleaner:
    """Cleans the tables of a configuration.

    Args:
        engine: evaluates.
        config: the declaration.
        report: counts bad rows and what else was found.

    Attributes:
        key_dtypes: of `user` and `item`, found in the first table read.
    """

    def __init__(self, engine: Engine, config: TablesConfig, report: LogReport):
        self.engine, self.config, self.report = engine, config, report
        self.key_dtypes: dict[str, str] = {}
        zone = config.zone
        self._earliest = moment(config.earliest, zone, "earliest")
        self._latest = int(time.time() * 1000) + DAY
        if config.latest:
            self._latest = moment(config.latest, zone, "latest")

    def clean(self, name: str) -> ibis.Table:
        """Returns a table in known columns, kept; bad rows are left out."""
        config = self.config.tables[name]
        wanted = _columns_of(name, config, self.config)
        raw = self.engine.open(name, config, wanted, self.report)
        where = f"table `{name}` ({config.path or config.table})"
        try:
            columns, problems = self._columns(name, config, raw)
        except DataError as error:
            raise DataError(f"{where}: {error}") from error
        found = {p.condition.fill_null(False): p.value for p in problems}
        values = ((c, value.cast("string")) for c, value in found.items())
        marked = raw.select(
            **columns,
            problem=ibis.cases(
                *((c, n) for n, c in enumerate(found)), else_=-1
            ),
            value=ibis.cases(*values, else_=None),
        )
        table = self.engine.kept(f"clean-{name}", marked)
        messages = [problem.message for problem in problems]
        self.report.counts[f"rows of {name}"] = self._count(
            where, table, messages
        )
        return table.filter(table.problem < 0).drop("problem", "value")

    def _count(self, where: str, table: ibis.Table, messages: list[str]) -> int:
        """Counts the good rows; bad ones are tolerated or not."""
        rows = self.engine.rows(
            table.group_by("problem").agg(
                rows=table.count(), value=table.value.min()
            )
        )
        good = 0
        for row in sorted(rows, key=lambda row: row["problem"]):
            if row["problem"] < 0:
                good = row["rows"]
                continue
            self.report.tolerate(
                f"{where}: {messages[row['problem']]} in {row['rows']} rows, "
                f"such as {row['value']!r}",
                row["rows"],
            )
        if not good:
            raise DataError(f"{where}: is empty, or no row of it is good.")
        return good

    def _columns(
        self, name: str, config: TableConfig, raw: ibis.Table
    ) -> tuple[dict[str, Any], list[_Problem]]:
        columns: dict[str, Any] = {}
        problems: list[_Problem] = []
        for key in ("user", "item"):
            if key in config.columns:
                columns[key] = self._key(key, config, raw, problems)
        for key in ("time", "valid_from"):
            if key in config.columns:
                end = name != "impressions"
                found = self._time(
                    config.columns[key], config, raw, end, problems
                )
                columns[key] = found
        for key, ids in config.ids.items():
            columns[key] = self._attribute(ids, raw, problems)
        numbers = dict(config.numbers)
        if "dwell" in config.columns:
            numbers["dwell"] = config.columns["dwell"]
        for key, column in numbers.items():
            number = self._number(column, raw, problems)
            least = -1.0 if key == "dwell" else 0.0
            columns[key] = number.fill_null(least)
            if key == "dwell":
                columns[key] = (columns[key] < 0).ifelse(-1.0, columns[key])
        for key in ("type", "request"):
            if key in config.columns:
                columns[key] = raw[config.columns[key]].cast("string")
                problems.append(
                    _Problem(
                        columns[key].isnull(),
                        ibis.literal("null"),
                        f"column `{config.columns[key]}` has no value",
                    )
                )
        if "scenario" in config.columns:
            ids = IdConfig(config.columns["scenario"])
            columns["scenario"] = self._attribute(ids, raw, problems)
        if "position" in config.columns:
            number = self._number(config.columns["position"], raw, problems)
            columns["position"] = number.fill_null(0).cast("int32")
        for key, column in config.types.items():
            number = self._number(column.removeprefix("not "), raw, problems)
            other = column.startswith("not ")
            columns[f"is_{key}"] = (number.fill_null(0) != 0) != other
        if name == "impressions":
            columns |= self._labels(config, raw, problems)
        return columns, problems

    def _labels(
        self, config: TableConfig, raw: ibis.Table, problems: list[_Problem]
    ) -> dict[str, Any]:
        columns = {}
        for key, objective in self.config.objectives.items():
            if objective.label:
                number = self._number(objective.label, raw, problems)
                columns[f"label_{key}"] = (number > 0).cast("int8")
            if objective.label_time:
                columns[f"known_{key}"] = self._time(
                    objective.label_time, config, raw, False, problems, True
                )
        return columns

    def _key(
        self,
        key: str,
        config: TableConfig,
        raw: ibis.Table,
        problems: list[_Problem],
    ) -> Any:
        wanted = self.config.ids.get(key, KeyConfig())
        column = IdConfig(
            config.columns[key],
            self.key_dtypes.get(key, wanted.dtype),
            wanted.offset,
        )
        ids, dtype = _ids(column, raw)
        self.key_dtypes[key] = dtype
        source = raw[column.column]
        empty = source.isnull() | (source.cast("string") == "")
        unreadable = f"column `{column.column}` has no {key} id"
        problems.append(_Problem(empty, ibis.literal("null"), unreadable))
        if dtype == "int64":
            problems.append(
                _Problem(
                    ids.isnull(),
                    source,
                    f"column `{column.column}` holds no whole number (set "
                    f"`ids.{key}.dtype: string`)",
                )
            )
            if key == "item":
                problems.append(
                    _Problem(
                        ids < 1,
                        source,
                        f"column `{column.column}` holds ids below 1, and 0 "
                        f"pads (set `ids.{key}.offset: 1`)",
                    )
                )
        return ids

    def _time(
        self,
        name: str,
        config: TableConfig,
        raw: ibis.Table,
        date_end: bool,
        problems: list[_Problem],
        optional: bool = False,
    ) -> Any:
        found = TimeColumn(
            self.engine, raw, name, self.config.zone, config.unit, date_end
        )
        if found.unit:
            note = f"Column `{name}`: numbers in {NAMES[found.unit]}."
            if note not in self.report.notes:
                self.report.notes.append(note)
        source, instant = raw[name], found.milliseconds
        unread = instant.isnull()
        if optional:
            unread = unread & source.notnull()
        for condition, why in (
            (unread, "holds no time (numbers or ISO texts)"),
            (
                found.mixed,
                f"mixes units: most times are in "
                f"{NAMES.get(found.unit, 'seconds')}, but not all (or set "
                "`unit`)",
            ),
            (
                instant < self._earliest,
                f"holds times before {self.config.earliest}; 1970 stands for "
                "none (or set `earliest`)",
            ),
            (
                instant > self._latest,
                f"holds times after {self.config.latest or 'tomorrow'} (or "
                "set `latest`)",
            ),
        ):
            problems.append(
                _Problem(condition, source, f"column `{name}` {why}")
            )
        return instant

    @staticmethod
    def _number(name: str, raw: ibis.Table, problems: list[_Problem]) -> Any:
        source = raw[name]
        kind = source.type()
        if kind.is_boolean():
            return source.cast("int8").cast("float64")
        if kind.is_numeric():
            number = source.cast("float64")
            if kind.is_integer():
                return number
            return (number.isnan() | number.isinf()).ifelse(None, number)
        if not kind.is_string():
            raise DataError(f"column `{name}`: is {kind}, not a number.")
        lower = source.lower()
        text = ibis.cases(
            (lower.isin(["true", "yes"]), "1"),
            (lower.isin(["false", "no"]), "0"),
            (lower.isin(["", "nan", "null", "none"]), None),
            else_=source,
        )
        number = text.try_cast("float64")
        problems.append(
            _Problem(
                text.notnull() & number.isnull(),
                source,
                f"column `{name}` holds no number",
            )
        )
        return number

    @staticmethod
    def _attribute(
        column: IdConfig, raw: ibis.Table, problems: list[_Problem]
    ) -> Any:
        source = raw[column.column]
        if column.separator or source.type().is_array():
            return _several(column, source)
        ids, dtype = _ids(column, raw)
        if column.text:
            return ids.fill_null("")
        if dtype == "string":
            return (ids == "").ifelse(None, ids).fill_null(MISSING[dtype])
        text = source.cast("string")
        problems.append(
            _Problem(
                ids.isnull() & source.notnull() & (text != ""),
                source,
                f"column `{column.column}` holds no whole number (set "
                "`dtype: string`)",
            )
        )
        return (ids < 1).ifelse(None, ids).fill_null(MISSING[dtype])


def _ids(column: IdConfig, raw: ibis.Table) -> tuple[Any, str]:
    """Returns ids, null where there are none, and their dtype."""
    source = raw[column.column]
    kind = source.type()
    if not (kind.is_integer() or kind.is_string()):
        raise DataError(
            f"column `{column.column}`: is {kind}; ids are whole numbers or "
            "texts. Write it as one of them."
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
        return source.cast("int64") + column.offset
    # Tables of pandas hold whole numbers such as 266079.0.
    whole = source.re_replace(r"\.0*$", "")
    number = whole.re_search(_WHOLE).ifelse(whole, None).try_cast("int64")
    return number + column.offset


def _several(column: IdConfig, source: Any) -> Any:
    kind = source.type()
    if kind.is_array():
        kind, values = kind.value_type, source
    else:
        # Spark splits by a regular expression: by a sign that is none.
        plain = source.replace(column.separator, _SEPARATOR)
        values = plain.split(_SEPARATOR)
    dtype = column.dtype or ("int64" if kind.is_integer() else "string")
    ids: Callable[[Any], Any] = lambda one: _typed(one, kind, dtype, column)  # noqa: E731
    padding = 0 if dtype == "int64" else ""
    values = values.map(ids).filter(lambda one: one > padding)
    return ibis.coalesce(values, ibis.literal([], type=f"array<{dtype}>"))


def _columns_of(
    name: str, config: TableConfig, whole: TablesConfig
) -> list[str]:
    """Returns the columns that are read of a table."""
    types = [column.removeprefix("not ") for column in config.types.values()]
    labels = []
    if name == "impressions":
        for objective in whole.objectives.values():
            labels += [objective.label, objective.label_time]
    ids = [column.column for column in config.ids.values()]
    numbers = config.numbers.values()
    columns = [*config.columns.values(), *ids, *numbers, *types, *labels]
    return [one for one in dict.fromkeys(columns) if one]
