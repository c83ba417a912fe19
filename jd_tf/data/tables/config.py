"""The declaration of tables: columns, behaviours, objectives, statistics."""

import dataclasses
import re
from collections.abc import Iterable

from jd_tf.data.tables.config_parts import (
    WHOLE,
    BehaviorConfig,
    IdConfig,
    KeyConfig,
    ObjectiveConfig,
    RequestsConfig,
    SamplingConfig,
    SplitConfig,
    StatisticConfig,
    TableConfig,
)
from jd_tf.schema import IMPRESSION, DataError

TABLES = ("events", "impressions", "items", "users")
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
# Names that joined tables have for themselves.
_OWN = {
    *("user", "item", "time", "request", "split", "shown", "position", "end"),
    *("rows", "version", "value", "problem", "type", "shard", "at", "span"),
    *("last", "moment"),
    *("item_id", "user_id", "scenario", "dwell", "valid_from"),
}
_OWN_BEGINNINGS = ("is_", "label_", "known_", "count_")
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
class TablesConfig:
    """Everything that turns tables into requests.

    Attributes:
        name: of the data set.
        tables: `events`, `impressions`, `items`, `users`, of which the first
            is needed; others are `of` items or users that are there.
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
    requests: RequestsConfig = dataclasses.field(default_factory=RequestsConfig)
    sampling: SamplingConfig | None = None
    context: tuple[str, ...] = ()
    statistics: tuple[StatisticConfig, ...] = ()
    statistics_delay: str = "1h"
    history_delay: str = "0s"
    smoothing: float = 20.0
    split: SplitConfig = dataclasses.field(default_factory=SplitConfig)
    ids: dict[str, KeyConfig] = dataclasses.field(default_factory=dict)
    zone: str = "UTC"
    earliest: str = "2000-01-01"
    latest: str = ""
    vocabulary_limit: int = 1000

    def __post_init__(self) -> None:
        for name, table in self.tables.items():
            listed = [one for one in ("items", "users") if one in self.tables]
            kind = table.of or name
            if table.of:
                _check(f"tables.{name}.of", table.of, listed)
            else:
                why = "is no table, and not `of` items or users"
                _check(f"tables.{name}", name, TABLES, why)
            known = (*_REQUIRED[kind], *_OPTIONAL[kind])
            for key in table.columns:
                where = f"tables.{name}.columns.{key}"
                _check(where, key, known, "is no key")
            for key in _REQUIRED[kind]:
                if key not in table.columns:
                    raise DataError(
                        f"`tables.{name}.columns`: needs `{key}`: the column "
                        f"of it. It has: {', '.join(table.columns) or 'none'}."
                    )
            if not (table.path or table.table):
                raise DataError(f"`tables.{name}`: needs a `path`.")
            _check(f"tables.{name}.unit", table.unit, ("", *["s", "ms", "us"]))
        self._check_names()
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

    def _check_names(self) -> None:
        """Refuses attributes that no joined table could tell apart."""
        owner: dict[str, str] = {}
        for name, table in self.tables.items():
            for one in (*table.ids, *table.numbers):
                if one in _OWN or one.startswith(_OWN_BEGINNINGS):
                    why = "is a name that joined tables have themselves"
                elif one in table.ids and one in table.numbers:
                    why = "is among `ids` and among `numbers`"
                # Actions of events go by the name of their behaviour.
                elif name != "events" and owner.setdefault(one, name) != name:
                    why = f"is an attribute of {owner[one]}, too"
                else:
                    continue
                raise DataError(
                    f"`tables.{name}`: `{one}` {why}. Name it otherwise; the "
                    "column in the table may keep its name."
                )

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
            if statistic.delay:
                milliseconds(statistic.delay, f"{where}.delay")
            if not statistic.key or statistic.key in met:
                raise DataError(f"`{where}.key`: empty or given twice.")
            if len({*statistic.key}) < len(statistic.key):
                raise DataError(f"`{where}.key`: names a column twice.")
            met.add(statistic.key)
        self._check_parents()

    def _check_parents(self) -> None:
        parents = {s.key: s.parent for s in self.statistics}
        of_request = self.request_columns()
        for number, statistic in enumerate(self.statistics):
            where, chain = f"statistics.{number}.parent", [statistic.key]
            while parent := parents.get(chain[-1], ()):
                if parent in chain:
                    listed = " -> ".join(map(str, (*chain, parent)))
                    raise DataError(f"`{where}`: goes in a circle: {listed}.")
                chain.append(parent)
            parent = statistic.parent
            if {*statistic.key} <= of_request and not {*parent} <= of_request:
                raise DataError(
                    f"`{where}`: {parent} differs between the candidates of a "
                    f"request, its key {statistic.key} does not."
                )

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

    def request_columns(self) -> set[str]:
        """Returns the id columns that all candidates of a request share."""
        own = ("user_id", "scenario", *self.table_ids("users"))
        return {*own, *self.table_ids("impressions")}

    def tables_of(self, kind: str) -> dict[str, TableConfig]:
        """Returns `events`, `items` ... and the tables `of` it, by name."""
        return {n: t for n, t in self.tables.items() if kind in (n, t.of)}

    def table_ids(self, kind: str) -> dict[str, IdConfig]:
        """Returns the attributes of items, users ...; none without a table."""
        tables = self.tables_of(kind).values()
        return {n: ids for table in tables for n, ids in table.ids.items()}

    def table_numbers(self, kind: str) -> dict[str, str]:
        """Returns the numbers likewise."""
        tables = self.tables_of(kind).values()
        return {n: one for table in tables for n, one in table.numbers.items()}

    @property
    def has_scenario(self) -> bool:
        """Returns whether requests are of several pages."""
        impressions = self.tables.get("impressions")
        return impressions is not None and "scenario" in impressions.columns

    @property
    def delays(self) -> dict[tuple[str, ...], int]:
        """Key -> milliseconds its statistics are late; () of all others."""
        late = {
            s.key: s.delay or self.statistics_delay for s in self.statistics
        }
        late[()] = self.statistics_delay
        return {key: milliseconds(text, "delay") for key, text in late.items()}

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
