"""The declaration of tables: columns, behaviours, objectives, statistics."""

import dataclasses
import re
from collections.abc import Iterable

from jd_tf.data.tables.objective_config import ObjectiveConfig
from jd_tf.schema import IMPRESSION, DataError

TABLES = ("events", "impressions", "items", "users")
WHOLE = "all"  # A window without a beginning
_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_REQUIRED = {
    "events": ("user", "item", "time"),
    "impressions": ("user", "item", "time"),
    "items": ("item",),
    "users": ("user",),
}
_OPTIONAL = {
    "events": ("type", "dwell", "dwell_ms"),
    "impressions": ("request", "position", "scenario"),
    "items": ("valid_from",),
    "users": ("valid_from",),
}
HOUR, WEEKDAY, VIEWER = "hour", "weekday", "viewer_id"
CONTEXTS = (HOUR, WEEKDAY, VIEWER)
STATISTIC_VALUES = ("impressions", "positives", "rate")


def milliseconds(duration: str, key: str) -> int:
    """Returns a duration such as "90s", "1h" or "7d" in milliseconds."""
    met = re.fullmatch(r"(\d+)\s*(ms|s|m|h|d)", str(duration).strip())
    if not met:
        raise DataError(
            f"`{key}`: a duration is a whole number and a unit, such as 90s, "
            f"15m, 1h or 7d. Got: {duration!r}."
        )
    return int(met[1]) * _UNITS[met[2]]


@dataclasses.dataclass(frozen=True)
class KeyConfig:
    """The ids of users or of items, in all tables.

    Attributes:
        dtype: "int64" or "string"; by default as in Parquet, string in CSV.
        offset: added to whole numbers, for ids that start at 0.
    """

    dtype: str = ""
    offset: int = 0


@dataclasses.dataclass(frozen=True)
class IdConfig:
    """A column of ids.

    Attributes:
        column: its name in the table.
        dtype: see `KeyConfig`.
        offset: see there.
        separator: between the values of a text; the column has several values.
        max_values: of these that are kept, in the order of the table.
        pooling: of several values: "mean" or "sum".
        text: words, hashed one by one.
        num_buckets: rows of its table; by default as many as the data ask for.
    """

    column: str
    dtype: str = ""
    offset: int = 0
    separator: str = ""
    max_values: int = 1
    pooling: str = "mean"
    text: bool = False
    num_buckets: int = 0


@dataclasses.dataclass(frozen=True)
class TableConfig:
    """A table and the meaning of its columns.

    Attributes:
        path: file or glob of Parquet (`.parquet`) or CSV files (all others,
            `.gz` too), or a DuckDB file; relative to the configuration's.
        table: name of a table of that DuckDB file or of Spark's catalogue.
        encoding: of CSV files: utf-8, gb18030, ...
        separator: of CSV files.
        names: of the columns of CSV files without a first line of names.
        columns: key (`user`, `item`, `time`, ...) -> column.
        ids: name -> ids: attributes of items or users, the context of
            impressions, action slots of events.
        numbers: name -> column: features of items, users or impressions,
            action counters of events.
        types: of events: type -> column; a row is one event of each type
            whose column is not 0, or, after `not `, is 0.
        unit: of times that are numbers: s, ms or us; found by their range.
    """

    path: str = ""
    table: str = ""
    encoding: str = "utf-8"
    separator: str = ","
    names: tuple[str, ...] = ()
    columns: dict[str, str] = dataclasses.field(default_factory=dict)
    ids: dict[str, IdConfig] = dataclasses.field(default_factory=dict)
    numbers: dict[str, str] = dataclasses.field(default_factory=dict)
    types: dict[str, str] = dataclasses.field(default_factory=dict)
    unit: str = ""


@dataclasses.dataclass(frozen=True)
class BehaviorConfig:
    """A history.

    Attributes:
        events: types of its events; by default its own name.
        max_length: events kept, newest first.
        window: how old events may be, such as 30d.
        dwell: whether events carry how long they lasted.
        action_counters: `numbers` of the events that it carries.
        action_slots: `ids` of the events that it carries.
    """

    events: tuple[str, ...] = ()
    max_length: int = 50
    window: str = WHOLE
    dwell: bool = False
    action_counters: tuple[str, ...] = ()
    action_slots: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class RequestsConfig:
    """Impressions of one request.

    Attributes:
        gap: without request ids: the pause that ends a request.
        max_candidates: of a request at most; the rest is another request,
            or, with request ids, left out.
    """

    gap: str = "5m"
    max_candidates: int = 100


@dataclasses.dataclass(frozen=True)
class SamplingConfig:
    """Requests of a log without impressions.

    Attributes:
        positives: types of events that open a request; its item is shown.
        num_negatives: items drawn beside it, all known before.
        popular_share: probability that a negative is drawn by its events so
            far; all known items are equally likely otherwise.
        new_items_only: whether items the user knows open none, nor are drawn.
        seed: of what is drawn.
    """

    positives: tuple[str, ...]
    num_negatives: int = 19
    popular_share: float = 0.5
    new_items_only: bool = True
    seed: int = 1


@dataclasses.dataclass(frozen=True)
class StatisticConfig:
    """Counts and rates of a key as of the request.

    Attributes:
        key: an id column, or several: `item_id`, `user_id`, `scenario`, ids
            of items, users and impressions.
        parent: the key whose rate few impressions are drawn to; by default
            all impressions.
        windows: how far back is counted: 1d, 7d, all ...
        values: some of impressions, positives and rate.
    """

    key: tuple[str, ...]
    parent: tuple[str, ...] = ()
    windows: tuple[str, ...] = ("1d", "7d", "30d", WHOLE)
    values: tuple[str, ...] = ("impressions", "rate")

    @property
    def name(self) -> str:
        """The beginning of the names of its features."""
        return "_x_".join(name.removesuffix("_id") for name in self.key)


@dataclasses.dataclass(frozen=True)
class SplitConfig:
    """Training, validation and test.

    Attributes:
        by: "time" or "user".
        validation_share: share of the requests, or of the users.
        test_share: likewise.
        validation_from: in place of shares the ISO date or time it begins.
        test_from: likewise.
    """

    by: str = "time"
    validation_share: float = 0.1
    test_share: float = 0.2
    validation_from: str = ""
    test_from: str = ""


@dataclasses.dataclass(frozen=True)
class TablesConfig:
    """Everything that turns tables into requests.

    Attributes:
        name: of the data set.
        tables: `events`, `impressions`, `items`, `users`; the first and one
            of the next two at least.
        behaviors: name -> history.
        objectives: name -> outcome, in the order of the labels.
        requests: about impressions.
        sampling: in place of impressions.
        context: derived context columns: hour, weekday, viewer_id.
        statistics: keys that are counted.
        statistics_delay: how late counters are in production.
        history_delay: how late events reach the histories in production; more
            than phones' clocks differ, or they know what is asked of them.
        smoothing: impressions that the parent's rate counts for.
        split: training, validation, test.
        ids: of `user` and `item`: their dtype and offset.
        zone: of times without one, such as Asia/Shanghai.
        earliest: times before are bad records.
        latest: times after are bad records; by default tomorrow.
        vocabulary_limit: columns of more different ids are hashed.
    """

    name: str
    tables: dict[str, TableConfig]
    behaviors: dict[str, BehaviorConfig]
    objectives: dict[str, ObjectiveConfig]
    requests: RequestsConfig = RequestsConfig()
    sampling: SamplingConfig | None = None
    context: tuple[str, ...] = ()
    statistics: tuple[StatisticConfig, ...] = ()
    statistics_delay: str = "1h"
    history_delay: str = "0s"
    smoothing: float = 20.0
    split: SplitConfig = SplitConfig()
    ids: dict[str, KeyConfig] = dataclasses.field(default_factory=dict)
    zone: str = "UTC"
    earliest: str = "2000-01-01"
    latest: str = ""
    vocabulary_limit: int = 1000

    def __post_init__(self) -> None:
        for name, table in self.tables.items():
            _check(f"tables.{name}", name, TABLES, "is no table")
            known = (*_REQUIRED[name], *_OPTIONAL[name])
            for key in table.columns:
                where = f"tables.{name}.columns.{key}"
                _check(where, key, known, "is no key")
            for key in _REQUIRED[name]:
                if key not in table.columns:
                    raise DataError(
                        f"`tables.{name}.columns`: needs `{key}`: the column "
                        f"of it. It has: {', '.join(table.columns) or 'none'}."
                    )
            if not (table.path or table.table):
                raise DataError(f"`tables.{name}`: needs a `path`.")
            _check(f"tables.{name}.unit", table.unit, ("", *["s", "ms", "us"]))
        if "events" not in self.tables:
            raise DataError("`tables`: needs `events`, which histories are of.")
        if ("impressions" in self.tables) == (self.sampling is not None):
            raise DataError(
                "`tables.impressions` or `sampling` must be given, not both: "
                "candidates were either shown, or are drawn."
            )
        for name in self.ids:
            _check(f"ids.{name}", name, ("user", "item"))
        for name in self.context:
            _check("context", name, CONTEXTS)
        _check("split.by", self.split.by, ("time", "user"))
        milliseconds(self.history_delay, "history_delay")
        if not self.requests.max_candidates:
            raise DataError("`requests.max_candidates`: must be at least 1.")
        self._check_objectives()
        self._check_statistics()
        events = self.tables["events"]
        for name, behavior in self.behaviors.items():
            where = f"behaviors.{name}"
            for counter in behavior.action_counters:
                _check(f"{where}.action_counters", counter, events.numbers)
            for slot in behavior.action_slots:
                _check(f"{where}.action_slots", slot, events.ids)
            if behavior.dwell and not {"dwell", "dwell_ms"} & {*events.columns}:
                raise DataError(
                    f"`{where}.dwell`: `tables.events.columns` has no `dwell` "
                    "(seconds) and no `dwell_ms`."
                )
            self.window_of(behavior.window, f"{where}.window")

    def _check_objectives(self) -> None:
        earlier: list[str] = []  # outcomes
        met: list[str] = []
        for name, objective in self.objectives.items():
            where = f"objectives.{name}"
            if bool(objective.label) == bool(
                objective.events or objective.amount
            ):
                raise DataError(
                    f"`{where}`: needs `label`, `events` or `amount`."
                )
            if self.sampling and not objective.events:
                raise DataError(
                    f"`{where}`: there are no impressions; name `events`."
                )
            if objective.amount and objective.events:
                events = self.tables["events"]
                dwell = [key for key in events.columns if key[:5] == "dwell"]
                known = (*events.numbers, *dwell[:1])
                _check(f"{where}.amount", objective.amount, known, "is none")
            if len(earlier) < len(met) and not objective.amount:
                raise DataError(
                    f"`{where}`: outcomes stand before all amounts."
                )
            met.append(name)
            milliseconds(objective.within, f"{where}.within")
            for key in ("given", "sample_space"):
                named = getattr(objective, key)
                _check(f"{where}.{key}", named, ("", IMPRESSION, *earlier))
            if not objective.amount:
                earlier.append(name)

    @property
    def outcomes(self) -> list[str]:
        """Names of the objectives that are no amounts: the first ones."""
        return [name for name, one in self.objectives.items() if not one.amount]

    def _check_statistics(self) -> None:
        milliseconds(self.statistics_delay, "statistics_delay")
        keys, met = self.statistic_columns(), set()
        for number, statistic in enumerate(self.statistics):
            where = f"statistics.{number}"
            for key in (*statistic.key, *statistic.parent):
                _check(f"{where}.key", key, keys)
            for value in statistic.values:
                _check(f"{where}.values", value, STATISTIC_VALUES)
            for window in statistic.windows:
                self.window_of(window, f"{where}.windows")
            if not statistic.key or statistic.key in met:
                raise DataError(f"`{where}.key`: empty or given twice.")
            met.add(statistic.key)

    def statistic_columns(self) -> tuple[str, ...]:
        """Returns the id columns that statistics can be of."""
        single = [
            name
            for table in ("items", "users", "impressions")
            for name, column in self.table_ids(table).items()
            if not column.separator and column.max_values == 1
        ]
        scenario = ["scenario"] if self.has_scenario else []
        return ("item_id", "user_id", *single, *scenario)

    def table_ids(self, table: str) -> dict[str, IdConfig]:
        """Returns the attributes of a table, none of one that is not there."""
        return self.tables[table].ids if table in self.tables else {}

    def table_numbers(self, table: str) -> dict[str, str]:
        """Returns its numbers, none of a table that is not there."""
        return self.tables[table].numbers if table in self.tables else {}

    @property
    def has_scenario(self) -> bool:
        """Returns whether requests are of several pages."""
        impressions = self.tables.get("impressions")
        return impressions is not None and "scenario" in impressions.columns

    @property
    def delay(self) -> int:
        """Milliseconds that statistics are late."""
        return milliseconds(self.statistics_delay, "statistics_delay")

    @staticmethod
    def window_of(window: str, key: str) -> int | None:
        """Returns a window in milliseconds, None for all."""
        return None if window == WHOLE else milliseconds(window, key)


def _check(key: str, value: str, known: Iterable[str], why: str = "") -> None:
    known = tuple(known)
    if value not in known:
        listed = ", ".join(one for one in known if one)
        raise DataError(
            f"`{key}`: {why or 'must be one of those known'}: {listed}. "
            f"Got: {value!r}."
        )
