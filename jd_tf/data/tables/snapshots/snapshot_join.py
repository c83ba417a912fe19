"""New rows of tables are joined to what is known of the old ones."""

import shutil
from pathlib import Path

import ibis

from jd_tf.data.log_report import LogReport
from jd_tf.data.tables.cleaning import TableCleaner
from jd_tf.data.tables.config import TablesConfig, milliseconds
from jd_tf.data.tables.engines.engine import Engine
from jd_tf.data.tables.joining import EVENTS, REQUESTS, TableJoin
from jd_tf.data.tables.requests import build_requests
from jd_tf.data.tables.snapshots.count_tables import counts_file
from jd_tf.data.tables.times import DAY
from jd_tf.schema import DataError

ITEMS = "items"
STATE = "state"
_USERS_PER_SHARD = 100_000


class SnapshotJoin(TableJoin):
    """Joins tables as of one moment, with the state of an earlier one.

    What requests before a `boundary` counted is final and lies in the state
    as sums. Of the rows since, and of a day before, for the impressions that
    later events are credited to, the state has the rows: they are joined
    again with the new ones. So rows that come twice, or late, count once, and
    all is as if every row had come at once, as long as no request lasts longer
    than a day.

    Args:
        engine: evaluates.
        config: the declaration.
        report: counts what is bad or left out.
        state: folder of the earlier state, None for none.
        boundary: of that state, in milliseconds.
    """

    def __init__(
        self,
        engine: Engine,
        config: TablesConfig,
        report: LogReport,
        state: Path | None,
        boundary: int,
    ):
        super().__init__(engine, config, report)
        self._state, self._boundary = state, boundary

    def run_at(self, time: int | None, folder: Path) -> tuple[int, int]:
        """Keeps items, users, histories and counts, and the new state.

        Args:
            time: in milliseconds; None for the end of the log.
            folder: of the counts and the state.

        Returns:
            The time and the new boundary.
        """
        config, since = self.config, self._boundary
        cleaner = TableCleaner(self.engine, config, self.report)
        clean = {name: cleaner.clean(name) for name in config.tables}
        partial = self._state is not None
        rows = {"events": self._events(clean["events"], partial)}
        if not config.sampling:
            rows["impressions"] = clean["impressions"]
        rows = {name: self._with_old(name, rows[name]) for name in rows}
        clean |= rows
        if time is None:
            times = ibis.union(
                *(table.select("time") for table in rows.values())
            )
            (last,) = self.engine.rows(times.agg(time=times.time.max()))
            time = int(last["time"]) + 1
        waits = [milliseconds(config.history_delay, "history_delay")]
        waits += [
            milliseconds(o.within, "") for o in config.objectives.values()
        ]
        boundary = max(since, time - max(waits) - DAY)

        kept = ["history"]
        events = rows["events"].filter(rows["events"].time >= since)
        history = self._past(events, clean)
        newest = {"history": history.filter(history.time >= boundary)}
        final = {"history": history.filter(history.time < boundary)}
        if config.statistics:
            kept.append("facts")
            counted = events
            if not config.sampling:
                shown = self._shown(clean, rows["events"])
                made = build_requests(
                    self.engine, config, shown, rows["events"], self.report
                )
                counted = self._with_attributes(made, clean)[1]
                counted = counted.filter(counted.time >= since)
            for of, chosen in (
                (newest, counted.time >= boundary),
                (final, counted.time < boundary),
            ):
                part = counted.filter(chosen)
                of["facts"] = self._facts(clean, part, part)
        state = folder / STATE
        state.mkdir()
        tables = {}
        for name in kept:
            if self._state:
                old = self.engine.read([str(self._state / name)])
                final[name] = ibis.union(old, final[name].select(old.columns))
            if name == "facts":
                final[name] = self._statistics.condensed(final[name], time)
            else:
                final[name] = self._newest(final[name])
            done = self.engine.kept(f"final-{name}", final[name])
            more = newest[name].select(done.columns)
            tables[name] = self.engine.kept(name, ibis.union(done, more))
            self._move(f"final-{name}", state / name)
        for name, table in rows.items():
            recent = table.filter(table.time >= boundary - DAY)
            self.engine.keep(f"recent-{name}", recent)
            self._move(f"recent-{name}", state / name)
        self._keep_as_of(time, clean, tables)
        for number, key in enumerate(self._statistics.windows):
            counts = self._statistics.counts_at(tables["facts"], key, time)
            self.engine.keep(counts_file(number), counts)
            self._move(counts_file(number), folder / counts_file(number))
        return time, boundary

    def _move(self, name: str, path: Path) -> None:
        shutil.move(self.engine.stage / name, path)

    def _with_old(self, name: str, table: ibis.Table) -> ibis.Table:
        """Returns the rows since a day before the boundary, each once."""
        if self._state is None:
            return table
        old = self.engine.read([str(self._state / name)])
        for column in old.columns:
            if column not in table.columns or (
                old[column].type() != table[column].type()
            ):
                raise DataError(
                    f"table `{name}`: column `{column}` is of another type "
                    "than in the snapshot. Make it anew with --rebuild."
                )
        new = table.filter(table.time >= self._boundary - DAY)
        both = ibis.union(old, new.select(old.columns)).distinct()
        return self.engine.kept(f"all-{name}", both)

    def _newest(self, history: ibis.Table) -> ibis.Table:
        """Leaves out events that no history is long enough for."""
        lengths: dict[str, int] = {}
        for name, behavior in self.config.behaviors.items():
            for one in behavior.events or (name,):
                most = max(lengths.get(one, 0), behavior.max_length)
                lengths[one] = most
        window = ibis.window(
            group_by=["user", "type"], order_by=ibis.desc("time")
        )
        length = ibis.cases(
            *((history.type == n, m) for n, m in lengths.items())
        )
        # Those of one moment have one rank, so none depends on their order.
        ranked = history.mutate(rank=ibis.rank().over(window), length=length)
        return ranked.filter(ranked["rank"] < ranked["length"]).drop(
            "rank", "length"
        )

    def _keep_as_of(
        self,
        time: int,
        clean: dict[str, ibis.Table],
        tables: dict[str, ibis.Table],
    ) -> None:
        """Keeps items and users with their attributes, and histories."""
        history = tables["history"]
        found = {}
        for key in ("item", "user"):
            known = [history.filter(history.time < time).select(key)]
            facts = tables.get("facts")
            if facts is not None and key in facts.columns:
                known.append(facts.filter(facts["at"] < time).select(key))
            if f"{key}s" in clean:
                listed = clean[f"{key}s"]
                if "valid_from" in listed.columns:
                    listed = listed.filter(listed.valid_from <= time)
                # What is not listed is not for sale; but users may be new.
                known = [listed.select(key), *known[: 2 * (key == "user")]]
            whole = ibis.union(*known) if known[1:] else known[0]
            whole = whole.distinct().mutate(time=ibis.literal(time, "int64"))
            found[key] = self._attributes(whole, clean, key, "time")
        self.engine.keep(ITEMS, found["item"])
        users = self.engine.kept("all-users", found["user"])
        self.num_shards = max(2, -(-self._count(users) // _USERS_PER_SHARD))
        self._keep_shards(REQUESTS, users)
        self._keep_shards(EVENTS, history)
