"""Impressions and outcomes of keys, counted as of each request.

An impression counts from the time it was shown, an outcome from the time it
happened; both only strictly before the request's time less the delay.
"""

import dataclasses
import functools
from typing import Any

import ibis
import numpy as np

from jd_tf.data.tables.as_of import join_left, sums_before
from jd_tf.data.tables.config import TablesConfig
from jd_tf.data.tables.config_parts import StatisticConfig
from jd_tf.data.tables.engines.engine import Engine

Key = tuple[str, ...]
_KEY_COLUMNS = {"item_id": "item", "user_id": "user"}
_SHOWN = "shown_count"


@dataclasses.dataclass(frozen=True)
class StatisticFeature:
    """A feature made of counts.

    Attributes:
        name: in the schema.
        key: columns that are counted for.
        window: how far back.
        kind: impressions, positives or rate.
        objective: index of it; -1 of impressions.
    """

    name: str
    key: Key
    window: str
    kind: str
    objective: int = -1


class Statistics:
    """The statistics of a configuration.

    Args:
        config: the declaration.

    Attributes:
        windows: key -> windows that are counted, those of parents included.
        parents: key -> the key whose rate it is drawn to.
    """

    def __init__(self, config: TablesConfig):
        self.config = config
        self.parents = {s.key: s.parent for s in config.statistics}
        self._delays = config.delays
        self.windows: dict[Key, dict[str, None]] = {}
        for statistic in config.statistics:
            key: Key | None = statistic.key
            while key is not None:
                known = self.windows.setdefault(key, {})
                known.update(dict.fromkeys(statistic.windows))
                key = self.parents.get(key, ()) if key else None
        self._context = config.request_columns()

    def _delay(self, key: Key) -> int:
        return self._delays.get(key, self._delays[()])

    def of_request(self, key: Key) -> bool:
        """Returns whether a key is the same of all candidates."""
        return set(key) <= self._context

    def features(self, of_request: bool) -> list[StatisticFeature]:
        """Returns the features of requests, or those of candidates."""
        return [
            feature
            for statistic in self.config.statistics
            if self.of_request(statistic.key) == of_request
            for window in statistic.windows
            for feature in self._features(statistic, window)
        ]

    def _features(
        self, statistic: StatisticConfig, window: str
    ) -> list[StatisticFeature]:
        key, stem = statistic.key, f"{statistic.name}_{window}"
        features = []
        for kind in statistic.values:
            if kind == "impressions":
                named = f"{stem}_{kind}"
                features.append(StatisticFeature(named, key, window, kind))
                continue
            for index, name in enumerate(self.config.outcomes):
                named = f"{stem}_{name}_{kind}"
                features.append(
                    StatisticFeature(named, key, window, kind, index)
                )
        return features

    # Counting --------------------------------------------------------------

    def add_to(
        self,
        engine: Engine,
        facts: ibis.Table,
        table: ibis.Table,
        of_request: bool,
    ) -> ibis.Table:
        """Adds the counts of the keys of requests, or of candidates.

        Args:
            engine: evaluates.
            facts: what `facts_of_impressions` or `facts_of_events` made.
            table: requests or candidates with their key columns and `time`.
            of_request: which of the two.
        """
        for number, key in enumerate(self.windows):
            if self.of_request(key) != of_request:
                continue
            counted = self._counts(facts, table, key)
            counted = engine.kept(f"statistic-{number}", counted)
            columns = key_columns(key)
            values = [c for c in counted.columns if c.startswith("count_")]
            on = [*columns, "time"]
            table = join_left(table, counted, on, values)
        return table

    def _counts(
        self, facts: ibis.Table, table: ibis.Table, key: Key
    ) -> ibis.Table:
        columns = key_columns(key)
        values = self._values
        summed = facts.group_by([*columns, "at"]).agg(
            **{value: facts[value].sum().cast("int64") for value in values}
        )
        asked = table.select(*columns, "time").distinct()
        before = {w: self.config.window_of(w, "") for w in self.windows[key]}
        spans = {span: 1 for span in before.values() if span is not None}
        questions = ibis.union(
            *(
                asked.mutate(
                    span=ibis.literal(span, "int64"),
                    at=asked.time - (self._delay(key) + span),
                )
                for span in (0, *spans)
            ),
            distinct=False,
        )
        sums = sums_before(summed, questions, columns, values)
        pivoted = {}
        for value in values:
            for span in (0, *spans):
                then = (sums.span == span).ifelse(sums[value], 0)
                pivoted[f"{value}_{span}"] = then.max()
        wide = sums.group_by([*columns, "time"]).agg(**pivoted)
        counts: dict[str, Any] = {}
        for window in self.windows[key]:
            for index, value in enumerate(values):
                count = wide[f"{value}_0"]
                if before[window] is not None:
                    count = count - wide[f"{value}_{before[window]}"]
                counts[self._name(key, window, index - 1)] = count
        return wide.select(*columns, "time", **counts)

    def counts_at(self, facts: ibis.Table, key: Key, time: int) -> ibis.Table:
        """Returns the counts of each value of a key as of one moment.

        Args:
            facts: see `add_to`.
            key: one of `windows`.
            time: of requests, in milliseconds.
        """
        until = time - self._delay(key)
        past = facts.filter(facts["at"] < until)
        counts: dict[str, Any] = {}
        for window in self.windows[key]:
            span = self.config.window_of(window, "")
            for index, value in enumerate(self._values):
                number = past[value]
                if span is not None:
                    number = (past["at"] >= until - span).ifelse(number, 0)
                name = self._name(key, window, index - 1)
                counts[name] = _whole_sum(number)
        columns = key_columns(key)
        return (past.group_by(columns) if columns else past).agg(**counts)

    def condensed(self, facts: ibis.Table, time: int) -> ibis.Table:
        """Joins facts that no window of requests after a time tells apart."""
        spans = [
            self.config.window_of(window, "") or 0
            for windows in self.windows.values()
            for window in windows
        ]
        begin = time - max(self._delays.values()) - max(spans)
        at = (facts["at"] < begin).ifelse(0, facts["at"])
        sums = {name: _whole_sum(ibis._[name]) for name in self._values}
        together = facts.mutate(at=at).group_by([*self.columns, "at"])
        return together.agg(**sums).select(facts.columns)

    def count_names(self, key: Key) -> list[str]:
        """Returns the names of the counts of a key."""
        objectives = range(-1, len(self.config.outcomes))
        return [
            self._name(key, window, objective)
            for window in self.windows[key]
            for objective in objectives
        ]

    @property
    def _values(self) -> list[str]:
        return [_SHOWN, *(f"count_{name}" for name in self.config.outcomes)]

    def _name(self, key: Key, window: str, objective: int) -> str:
        number = list(self.windows).index(key)
        return f"count_{number}_{window}_{objective}"

    @functools.cached_property
    def columns(self) -> list[str]:
        """The columns of all keys, as tables name them."""
        columns = [c for key in self.windows for c in key_columns(key)]
        return list(dict.fromkeys(columns))

    def facts_of_impressions(self, candidates: ibis.Table) -> ibis.Table:
        """Returns one row a shown item, and one an outcome."""
        keys = self.columns
        tables = [
            self._fact(candidates.select(*keys, at=candidates.shown), _SHOWN)
        ]
        for name in self.config.outcomes:
            known = candidates[f"known_{name}"]
            happened = candidates.filter(known.notnull())
            chosen = happened.select(*keys, at=known)
            tables.append(self._fact(chosen, f"count_{name}"))
        return ibis.union(*tables)

    def facts_of_events(
        self, events: ibis.Table, positives: tuple[str, ...]
    ) -> ibis.Table:
        """Returns one row for every kind of fact that an event is."""
        keys = self.columns
        kinds = {_SHOWN: positives} | {
            f"count_{name}": self.config.objectives[name].events
            for name in self.config.outcomes
        }
        return ibis.union(
            *(
                self._fact(
                    events.filter(events.type.isin(types)).select(
                        *keys, at=events.time
                    ),
                    value,
                )
                for value, types in kinds.items()
            )
        )

    def _fact(self, table: ibis.Table, value: str) -> ibis.Table:
        ones = {
            name: ibis.literal(int(name == value), "int64")
            for name in self._values
        }
        return table.mutate(**ones)

    # Features --------------------------------------------------------------

    def values(
        self, features: list[StatisticFeature], columns: dict[str, np.ndarray]
    ) -> np.ndarray:
        """Returns (R, F) features of counts, each (R,), nan for none."""
        made = np.empty((len(next(iter(columns.values()))), len(features)))
        for place, feature in enumerate(features):
            if feature.kind == "rate":
                made[:, place] = self._rate(feature, columns)
            else:
                made[:, place] = self._count(
                    feature.key, feature.window, feature.objective, columns
                )
        return made.astype(np.float32)

    def _rate(
        self, feature: StatisticFeature, columns: dict[str, np.ndarray]
    ) -> np.ndarray:
        """Returns positives a impression, drawn to the parent's rate."""
        rate: Any = 0.0
        chain: list[Key] = [feature.key]
        while chain[-1]:
            chain.append(self.parents.get(chain[-1], ()))
        for key in reversed(chain):
            window, objective = feature.window, feature.objective
            shown = self._count(key, window, -1, columns)
            positives = self._count(key, window, objective, columns)
            # Of all impressions: their rate as it is. An outcome may be in a
            # window that its impression is before.
            weight = self.config.smoothing if key else 0.0
            total = shown + weight
            drawn = (positives + weight * rate) / np.where(total, total, 1.0)
            rate = np.where(total, drawn, rate)
        return rate

    def _count(
        self,
        key: Key,
        window: str,
        objective: int,
        columns: dict[str, np.ndarray],
    ) -> np.ndarray:
        return np.nan_to_num(columns[self._name(key, window, objective)])


def _whole_sum(values: Any) -> Any:
    # DuckDB's sum is of 128 bits, which Ibis does not know and Parquet has not.
    return values.sum().fill_null(0).cast("float64").cast("int64")


def key_columns(key: Key) -> list[str]:
    """Returns the columns of a key, as tables name them."""
    return [_KEY_COLUMNS.get(name, name) for name in key]
