"""Tables as they are become tables of known columns; bad rows are counted.

Keys are `user`, `item` and `time` (milliseconds); ids of attributes have no
null: what is missing has an id of its own.
"""

from typing import Any

import ibis

from jd_tf.data.log_report import LogReport
from jd_tf.data.tables.column_reader import ColumnReader
from jd_tf.data.tables.config import TablesConfig
from jd_tf.data.tables.config_parts import IdConfig, TableConfig
from jd_tf.data.tables.engines.engine import Engine
from jd_tf.schema import UNKNOWN_DWELL, DataError

# The bias of each is a row of a table.
_LAST_POSITION = 9999


class TableCleaner:
    """Cleans the tables of a configuration.

    Args:
        engine: evaluates.
        config: the declaration.
        report: counts bad rows and what else was found.
    """

    def __init__(self, engine: Engine, config: TablesConfig, report: LogReport):
        self.engine, self.config, self.report = engine, config, report
        # The first table that is read decides.
        self._key_dtypes: dict[str, str] = {}

    def clean(self, name: str) -> ibis.Table:
        """Returns a table in known columns, kept; bad rows are left out."""
        config = self.config.tables[name]
        wanted = _columns_of(name, config, self.config)
        raw = self.engine.open(name, config, wanted, self.report)
        where = f"table `{name}` ({config.path or config.table})"
        reader = ColumnReader(
            self.engine, self.config, config, raw, self._key_dtypes
        )
        try:
            columns = self._columns(name, config, reader)
        except DataError as error:
            raise DataError(f"{where}: {error}") from error
        new = [note for note in reader.notes if note not in self.report.notes]
        self.report.notes += dict.fromkeys(new)
        problems = list(enumerate(reader.problems))
        marked = raw.select(
            **columns,
            problem=ibis.cases(*((p.holds, n) for n, p in problems), else_=-1),
            value=ibis.cases(*((p.holds, p.value) for _, p in problems)),
        )
        table = self.engine.kept(f"clean-{name}", marked)
        messages = [problem.message for problem in reader.problems]
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
        self, name: str, config: TableConfig, reader: ColumnReader
    ) -> dict[str, Any]:
        columns: dict[str, Any] = {}
        for key, column in config.columns.items():
            if key in ("user", "item"):
                columns[key] = reader.key(key, column)
            elif key in ("time", "valid_from"):
                # What is dated was known at the end of the day.
                columns[key] = reader.time(column, name != "impressions")
            elif key in ("dwell", "dwell_ms"):
                dwell = reader.number(column).fill_null(UNKNOWN_DWELL)
                seconds = dwell / (1000 if key == "dwell_ms" else 1)
                columns["dwell"] = (dwell < 0).ifelse(UNKNOWN_DWELL, seconds)
            elif key == "position":
                position = reader.count(column, _LAST_POSITION)
                columns[key] = position.cast("int32")
            elif key == "scenario":
                columns[key] = reader.attribute(IdConfig(column))
            else:
                columns[key] = reader.text(column)
        for key, ids in config.ids.items():
            columns[key] = reader.attribute(ids)
        for key, column in config.numbers.items():
            if name == "events":
                columns[key] = reader.count(column)
            else:
                columns[key] = reader.number(column).fill_null(0.0)
        for key, column in config.types.items():
            number = reader.number(column.removeprefix("not ")).fill_null(0)
            columns[f"is_{key}"] = (number != 0) != column.startswith("not ")
        if name == "impressions":
            for key, objective in self.config.objectives.items():
                if objective.label:
                    number = reader.number(objective.label)
                    columns[f"label_{key}"] = (number > 0).cast("int8")
                elif not objective.events:
                    columns[f"label_{key}"] = reader.amount(objective.amount)
                if objective.label_time:
                    known = reader.time(objective.label_time, optional=True)
                    columns[f"known_{key}"] = known
        return columns


def _columns_of(
    name: str, config: TableConfig, whole: TablesConfig
) -> list[str]:
    """Returns the columns that are read of a table."""
    types = [column.removeprefix("not ") for column in config.types.values()]
    labels = []
    if name == "impressions":
        for objective in whole.objectives.values():
            amount = "" if objective.events else objective.amount
            labels += [objective.label, objective.label_time, amount]
    ids = [column.column for column in config.ids.values()]
    numbers = config.numbers.values()
    columns = [*config.columns.values(), *ids, *numbers, *types, *labels]
    return [one for one in dict.fromkeys(columns) if one]
