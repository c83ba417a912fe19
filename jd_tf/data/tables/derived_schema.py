"""The schema of requests that are made of tables."""

from typing import Any

import ibis

from jd_tf.columns import AMOUNT, OUTCOME
from jd_tf.data.log_report import LogReport
from jd_tf.data.tables.as_of import join_left
from jd_tf.data.tables.config import HOUR, VIEWER, WEEKDAY, TablesConfig
from jd_tf.data.tables.config_parts import IdConfig
from jd_tf.data.tables.engines.engine import Engine
from jd_tf.data.tables.statistics import Statistics
from jd_tf.schema import (
    Behavior,
    BiasColumn,
    DataError,
    IdColumn,
    Objective,
    Schema,
)

_CONTEXT_VALUES = {HOUR: 24, WEEKDAY: 7}
_LEAST_BUCKETS = 1 << 10


def dense_names(config: TablesConfig) -> tuple[tuple[str, ...], ...]:
    """Returns the names of the features of `item_dense`, `session_dense`."""
    statistics = Statistics(config)
    of_items, of_requests = (
        [feature.name for feature in statistics.features(of_request)]
        for of_request in (False, True)
    )
    numbers = config.table_numbers
    items = (*numbers("items"), *numbers("impressions"), *of_items)
    return items, (*numbers("users"), *of_requests)


class SchemaDerivation:
    """Derives a schema; ids of its columns are those that training can meet.

    Args:
        engine: counts ids.
        config: the declaration.
        report: says what was chosen, and how many ids share a row.
    """

    def __init__(self, engine: Engine, config: TablesConfig, report: LogReport):
        self.engine, self.config, self.report = engine, config, report

    def derive(
        self, requests: ibis.Table, candidates: ibis.Table, events: ibis.Table
    ) -> Schema:
        """Returns the schema of requests of all splits.

        Args:
            requests: with their `split` and context.
            candidates: of the requests, with their attributes.
            events: of the histories, likewise.
        """
        config, statistics = self.config, Statistics(self.config)
        requests = requests.filter(requests.split == "train")
        shown = candidates.filter(candidates.split == "train")
        # What a user did before his last request that is trained on.
        last = requests.group_by("user").agg(last=requests.time.max())
        events = join_left(events, last, ["user"], ["last"])
        events = events.filter(events.time < events["last"])
        named = {"item_id": IdConfig("item"), **config.table_ids("items")}
        item_columns = []
        for name, ids in named.items():
            column = "item" if name == "item_id" else name
            known = [shown[column], events[column]]
            item_columns.append(self._id_column(name, ids, known))
        item_dense, session_dense = dense_names(config)
        (found,) = self.engine.rows(
            candidates.group_by("request")
            .agg(number=candidates.count())
            .agg(most=ibis._.number.max())
        )
        return Schema(
            name=config.name,
            item_columns=tuple(item_columns),
            behaviors=tuple(self._behaviors(events)),
            objectives=tuple(
                Objective(
                    name,
                    one.value,
                    one.given,
                    one.sample_space,
                    AMOUNT if one.amount else OUTCOME,
                )
                for name, one in config.objectives.items()
            ),
            max_candidates=int(found["most"]),
            item_dense=item_dense,
            context_columns=tuple(self._context(requests)),
            session_dense=session_dense,
            linear_dense=tuple(
                feature.name
                for of_request in (False, True)
                for feature in statistics.features(of_request)
                if feature.kind == "rate"
            ),
            bias_columns=tuple(self._bias(candidates)),
            scenario_column="scenario" if config.has_scenario else "",
        )

    def _behaviors(self, events: ibis.Table) -> list[Behavior]:
        behaviors = []
        for name, one in self.config.behaviors.items():
            most = 0
            for slot in one.action_slots:
                (row,) = self.engine.rows(
                    events.agg(most=(events[slot] % (1 << 62)).max())
                )
                most = max(most, int(row["most"]), 1)
            behaviors.append(
                Behavior(
                    name,
                    one.max_length,
                    one.dwell,
                    one.action_counters,
                    one.action_slots,
                    most,
                )
            )
        return behaviors

    def _context(self, requests: ibis.Table) -> list[IdColumn]:
        config = self.config
        columns = [
            IdColumn(name, vocabulary=tuple(range(1, count + 1)))
            for name, count in _CONTEXT_VALUES.items()
            if name in config.context
        ]
        named = {**config.table_ids("users"), **config.table_ids("impressions")}
        if config.has_scenario:
            named["scenario"] = IdConfig("scenario")
        if VIEWER in config.context:
            named[VIEWER] = IdConfig("user")
        for name, ids in named.items():
            value = requests["user" if name == VIEWER else name]
            columns.append(self._id_column(name, ids, [value]))
        return columns

    def _bias(self, candidates: ibis.Table) -> list[BiasColumn]:
        if "position" not in candidates.columns:
            return []
        (row,) = self.engine.rows(
            candidates.agg(most=candidates.position.max())
        )
        return [BiasColumn("position", int(row["most"]) + 1)]

    def _id_column(
        self, name: str, ids: IdConfig, columns: list[Any]
    ) -> IdColumn:
        several = columns[0].type().is_array()
        options: dict[str, Any] = {"text": ids.text}
        if several:
            columns = [column.unnest() for column in columns]
            options = {"max_values": max(2, ids.max_values)}
            options["pooling"] = ids.pooling
        text = columns[0].type().is_string()
        options["dtype"] = "string" if text else "int64"
        values = ibis.union(
            *(column.name("id").as_table() for column in columns)
        ).distinct()
        (row,) = self.engine.rows(values.agg(rows=values.count()))
        count = row["rows"]
        limit = self.config.vocabulary_limit
        if count <= limit and not (ids.num_buckets or ids.text):
            rows = self.engine.rows(values)
            known = sorted(row["id"] for row in rows if row["id"])
            if not known:
                raise DataError(
                    f"column `{name}`: has no value in training. Leave it out."
                )
            self.report.notes.append(
                f"Column `{name}`: {len(known)} ids in training."
            )
            return IdColumn(name, vocabulary=tuple(known), **options)
        buckets = ids.num_buckets or max(
            _LEAST_BUCKETS, 1 << (2 * max(count, 1) - 1).bit_length()
        )
        shared = 1 - (1 - 1 / (buckets - 1)) ** max(count - 1, 0)
        self.report.notes.append(
            f"Column `{name}`: {count} ids in training, in {buckets} rows; "
            f"{shared:.0%} of them share theirs with another."
        )
        return IdColumn(name, num_buckets=buckets, **options)
