"""Clean tables joined to what the writers of shards need."""

import dataclasses
from typing import Any

import ibis

from jd_tf.data.log_report import LogReport
from jd_tf.data.tables.as_of import attributes_as_of, join_left
from jd_tf.data.tables.cleaning import TableCleaner
from jd_tf.data.tables.column_reader import MISSING
from jd_tf.data.tables.config import TablesConfig
from jd_tf.data.tables.derived_schema import SchemaDerivation
from jd_tf.data.tables.engines.engine import Engine
from jd_tf.data.tables.requests import (
    RequestTables,
    build_requests,
    group_impressions,
    hash_of,
)
from jd_tf.data.tables.sampling import sample_impressions
from jd_tf.data.tables.statistics import Statistics
from jd_tf.schema import DataError, Schema

REQUESTS, CANDIDATES, EVENTS = (
    f"shards-of-{name}" for name in ("requests", "candidates", "events")
)
_EVENTS_PER_SHARD = 1_000_000


class TableJoin:
    """Joins the tables of a configuration, point in time.

    Args:
        engine: evaluates.
        config: the declaration.
        report: counts what is bad or left out.

    Attributes:
        requests: of all users, and their `split`; after `run`.
        schema: of the requests; after `run`.
        num_shards: number of the parts, by users; after `run`.
    """

    requests: ibis.Table
    schema: Schema
    num_shards: int

    def __init__(self, engine: Engine, config: TablesConfig, report: LogReport):
        self.engine, self.config, self.report = engine, config, report
        self._statistics = Statistics(config)

    def run(self, num_shards: int = 0) -> None:
        """Keeps requests, candidates and events in parts of the same users.

        Args:
            num_shards: number of the parts; 0: one for a million events.
        """
        cleaner = TableCleaner(self.engine, self.config, self.report)
        clean = {name: cleaner.clean(name) for name in self.config.tables}
        events = self._events(clean["events"])
        tables = build_requests(
            self.engine,
            self.config,
            self._shown(clean, events),
            events,
            self.report,
        )
        requests, candidates = self._with_attributes(tables, clean)
        self._count_conflicts(clean)
        if "items" in clean:
            shown = {"candidates": candidates, "events": events}
            for name, table in shown.items():
                unknown = self._count(table.anti_join(clean["items"], "item"))
                self.report.counts[f"{name} not in items"] = unknown
        users = requests.select("user").distinct()
        past = self._past(events.semi_join(users, "user"), clean)
        past = self.engine.kept("past", past)
        if self.config.statistics:
            facts = self._facts(clean, events, candidates)
            facts = self.engine.kept("facts", facts)
            requests, candidates = (
                self._statistics.add_to(self.engine, facts, table, of_request)
                for table, of_request in ((requests, True), (candidates, False))
            )
        self.requests = requests
        derivation = SchemaDerivation(self.engine, self.config, self.report)
        self.schema = derivation.derive(requests, candidates, past)
        parts = -(-self._count(past) // _EVENTS_PER_SHARD)
        self.num_shards = num_shards or max(2, parts)
        self._keep_shards(REQUESTS, requests)
        self._keep_shards(CANDIDATES, candidates)
        self._keep_shards(EVENTS, past)

    def _keep_shards(self, name: str, table: ibis.Table) -> None:
        shard = hash_of(table.user, 4) % self.num_shards
        sharded = table.mutate(shard=shard.cast("int32"))
        self.engine.keep(name, sharded, "shard")

    def _facts(
        self,
        clean: dict[str, ibis.Table],
        events: ibis.Table,
        candidates: ibis.Table,
    ) -> ibis.Table:
        """Returns what statistics count: impressions, or what opens one."""
        if not self.config.sampling:
            return self._statistics.facts_of_impressions(candidates)
        seen = self._attributes(events, clean, "user", "time")
        seen = self._attributes(seen, clean, "item", "time")
        positives = self.config.sampling.positives
        return self._statistics.facts_of_events(seen, positives)

    def _events(self, clean: ibis.Table, partial: bool = False) -> ibis.Table:
        """Returns the events of the types in use, each once.

        Args:
            clean: the table.
            partial: whether some types may be missing.
        """
        config = self.config
        kinds = [one.events or (n,) for n, one in config.behaviors.items()]
        kinds += [one.events for one in config.objectives.values()]
        if config.sampling:
            kinds.append(config.sampling.positives)
        used = sorted({one for several in kinds for one in several})
        types = config.tables["events"].types
        if types:
            flags = [f"is_{name}" for name in types]
            events = ibis.union(
                *(
                    clean.filter(clean[f"is_{name}"])
                    .drop(*flags)
                    .mutate(type=ibis.literal(name))
                    for name in types
                )
            )
        elif "type" in clean.columns:
            events = clean
        elif used:
            events = clean.mutate(type=ibis.literal(used[0]))
        else:
            raise DataError(
                "`behaviors`: name a history; events are read for nothing else."
            )
        rows = self.engine.rows(
            events.group_by("type").agg(rows=events.count())
        )
        found = {row["type"]: row["rows"] for row in rows}
        missing = [name for name in used if name not in found]
        if missing and not partial:
            raise DataError(
                f"table `events` ({config.tables['events'].path}): no event of "
                f"type {missing[0]!r}. It has: {', '.join(sorted(found))}. "
                "Name types that are there in `behaviors` and `objectives`."
            )
        for name in used:
            self.report.counts[f"events of type {name}"] = found.get(name, 0)
        used_events = events.filter(events.type.isin(used)).distinct()
        kept = self.engine.kept("events", used_events)
        twice = sum(found.get(one, 0) for one in used) - self._count(kept)
        if twice:
            self.report.counts["left out: events that are there twice"] = twice
        return kept

    def _count(self, table: ibis.Table) -> int:
        (row,) = self.engine.rows(table.agg(rows=table.count()))
        return int(row["rows"])

    def _shown(
        self, clean: dict[str, ibis.Table], events: ibis.Table
    ) -> ibis.Table:
        if self.config.sampling:
            return sample_impressions(
                self.engine, self.config.sampling, events, self.report
            )
        shown = clean["impressions"]
        if "request" in shown.columns:
            return shown
        grouped = group_impressions(self.config, shown.distinct())
        return self.engine.kept("grouped", grouped)

    def _with_attributes(
        self, tables: RequestTables, clean: dict[str, ibis.Table]
    ) -> tuple[ibis.Table, ibis.Table]:
        requests = self._attributes(tables.requests, clean, "user", "time")
        requests = self.engine.kept("requests", requests)
        candidates = self._attributes(tables.candidates, clean, "item", "time")
        # Parts of keys that are counted.
        keys = {name for key in self._statistics.windows for name in key}
        more = [
            name
            for name in requests.columns
            if name in keys and name not in candidates.columns
        ]
        if more:
            candidates = join_left(candidates, requests, ["request"], more)
        candidates = self.engine.kept("candidates-with-attributes", candidates)
        return requests, candidates

    def _count_conflicts(self, clean: dict[str, ibis.Table]) -> None:
        """Reports items and users that have several rows of one moment."""
        for key in ("item", "user"):
            for name in self.config.tables_of(f"{key}s"):
                rows = clean[name].distinct()
                moment = [c for c in (key, "valid_from") if c in rows.columns]
                kept = self._count(clean[name].select(moment).distinct())
                if left := self._count(rows) - kept:
                    self.report.counts[
                        f"`{name}`: further rows of one {key} and moment, "
                        "of which the first in the order of values counts"
                    ] = left

    def _past(
        self, events: ibis.Table, clean: dict[str, ibis.Table]
    ) -> ibis.Table:
        """Returns the events of histories with the attributes they had."""
        types = {
            one
            for name, behavior in self.config.behaviors.items()
            for one in behavior.events or (name,)
        }
        past = events.filter(events.type.isin(sorted(types)))
        return self._attributes(past, clean, "item", "time")

    def _attributes(
        self,
        table: ibis.Table,
        clean: dict[str, ibis.Table],
        key: str,
        time: str,
    ) -> ibis.Table:
        """Adds the attributes of items or users; none is null."""
        for name, of in self.config.tables_of(f"{key}s").items():
            names = [*of.ids, *of.numbers]
            table = attributes_as_of(table, clean[name], key, time, names)
            filled: dict[str, Any] = {}
            for one in names:
                column = table[one]
                kind = column.type()
                if kind.is_array():
                    none = ibis.literal([], type=kind)
                    filled[one] = ibis.coalesce(column, none)
                elif one in of.numbers:
                    filled[one] = column.fill_null(0.0)
                elif of.ids[one].text:
                    filled[one] = column.fill_null("")
                else:
                    dtype = "string" if kind.is_string() else "int64"
                    filled[one] = column.fill_null(MISSING[dtype])
            table = table.mutate(**filled)
        return table


@dataclasses.dataclass(frozen=True)
class ShardTask:
    """One part of the requests, to be written.

    Attributes:
        stage: folder of what `TableJoin` kept.
        folder: of the files.
        shard: number of the part.
        num_shards: of all parts.
        config: the declaration.
        schema: of the requests.
    """

    stage: str
    folder: str
    shard: int
    num_shards: int
    config: TablesConfig
    schema: Schema
