"""One part of the requests, assembled from columns and written."""

import contextlib
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset

from jd_tf.data.dataset import shard_name
from jd_tf.data.log_report import SPLITS
from jd_tf.data.records import RequestWriter
from jd_tf.data.suspicions import Suspicions
from jd_tf.data.tables.column_reader import MISSING
from jd_tf.data.tables.config import VIEWER, milliseconds
from jd_tf.data.tables.config_parts import WHOLE
from jd_tf.data.tables.joining import CANDIDATES, EVENTS, REQUESTS, ShardTask
from jd_tf.data.tables.statistics import Statistics
from jd_tf.data.tables.times import clock_columns

Columns = dict[str, Any]


def write_shard(task: ShardTask) -> Suspicions:
    """Writes the files of all splits of a shard; returns what seems wrong.

    A shard that is done already is not written again.
    """
    done = Path(task.stage) / f"done-{task.shard:05d}"
    if done.exists():
        found: Suspicions = pickle.loads(done.read_bytes())
        return found
    folder = Path(task.folder)
    names = {s: shard_name(s, task.shard, task.num_shards) for s in SPLITS}
    suspicions = Suspicions(task.schema)
    with contextlib.ExitStack() as stack:
        writers = {
            split: stack.enter_context(
                RequestWriter(folder / name, task.schema)
            )
            for split, name in names.items()
        }
        for split, request in ShardRequests(task).requests():
            suspicions.add(split, writers[split].write(request))
    aside = done.with_name(f".{done.name}")
    aside.write_bytes(pickle.dumps(suspicions))
    aside.rename(done)
    return suspicions


class ShardRequests:
    """The requests of one shard, from blocks of columns.

    Args:
        task: the shard.
    """

    def __init__(self, task: ShardTask):
        self.config, self.schema = task.config, task.schema
        self._statistics = Statistics(task.config)
        self._task = task
        self._events = self._read(EVENTS)

    def _read(self, name: str) -> pa.Table:
        """Reads the part of a table that belongs to the shard."""
        root = Path(self._task.stage) / name
        everything = pyarrow.dataset.dataset(root, partitioning="hive")
        where = pyarrow.dataset.field("shard") == self._task.shard
        return everything.to_table(filter=where).combine_chunks()

    def requests(self) -> Iterator[tuple[str, Columns]]:
        """Yields split and request, in the order of time and id."""
        table = self._read(REQUESTS)
        if not table.num_rows:
            return
        order = [("time", "ascending"), ("request", "ascending")]
        table = table.sort_by(order)
        whole, splits = self._request_columns(table)
        offsets, shown = self._candidate_columns(table)
        histories = list(self._histories(table))
        for row, split in enumerate(splits):
            request = {name: block[row] for name, block in whole.items()}
            begin, end = offsets[row], offsets[row + 1]
            for name, block in shown.items():
                request[name] = block[begin:end]
            for starts, ends, columns in histories:
                for name, block in columns.items():
                    request[name] = block[starts[row] : ends[row]]
            yield split, request

    def _request_columns(self, table: pa.Table) -> tuple[Columns, list[str]]:
        """Returns blocks with one row a request."""
        times = _array(table, "time")
        users = _array(table, "user")
        columns: Columns = {
            "request_id": _array(table, "request"),
            "user_id": users,
            "request_time": times // 1000,
        }
        derived = clock_columns(times, self.config.zone)
        for column in self.schema.context_columns:
            if column.name in derived:
                columns[column.name] = derived[column.name]
            elif column.name == VIEWER:
                columns[column.name] = users
            else:
                columns[column.name] = _array(table, column.name)
        numbers = self.config.table_numbers("users")
        dense = self._dense(table, list(numbers), True)
        if self.schema.session_dense:
            columns["session_dense"] = dense
        self._counts = {c: _array(table, c) for c in _counts(table)}
        return columns, table["split"].to_pylist()

    def _candidate_columns(
        self, requests: pa.Table
    ) -> tuple[np.ndarray, Columns]:
        """Returns where each request begins, and blocks of candidates."""
        ids = pd.Index(_array(requests, "request"))
        table = self._read(CANDIDATES)
        rows = ids.get_indexer(_array(table, "request"))
        place = _codes(table, "item")
        first = np.zeros_like(place)
        if "position" in table.column_names:
            first = _array(table, "position")
        order = np.lexsort((place, first, rows))
        table, rows = table.take(order), rows[order]
        offsets = np.searchsorted(rows, np.arange(len(ids) + 1))
        columns: Columns = self._item_columns(table, "")
        numbers = [
            *self.config.table_numbers("items"),
            *self.config.table_numbers("impressions"),
        ]
        if self.schema.item_dense:
            counts = {name: block[rows] for name, block in self._counts.items()}
            columns["item_dense"] = self._dense(table, numbers, False, counts)
        for bias in self.schema.bias_columns:
            columns[bias.name] = _array(table, bias.name)
        for kind, name in (("label", "labels"), ("weight", "label_weights")):
            blocks = [
                _array(table, f"{kind}_{o}") for o in self.config.objectives
            ]
            columns[name] = np.stack(blocks, axis=1).astype(np.float32)
        return offsets, columns

    def _dense(
        self,
        table: pa.Table,
        numbers: list[str],
        of_request: bool,
        counts: Columns | None = None,
    ) -> np.ndarray:
        """Returns numbers and statistics; `counts` are those of requests."""
        blocks = [_array(table, name)[:, np.newaxis] for name in numbers]
        features = self._statistics.features(of_request)
        if features:
            mine = {name: _array(table, name) for name in _counts(table)}
            mine |= counts or {}
            blocks.append(self._statistics.values(features, mine))
        if not blocks:
            return np.zeros((table.num_rows, 0), np.float32)
        return np.concatenate(blocks, axis=1, dtype=np.float32)

    def _histories(
        self, requests: pa.Table
    ) -> Iterator[tuple[np.ndarray, np.ndarray, Columns]]:
        """Yields of each behaviour where histories begin and end, and blocks.

        Events lie user by user, the newest first.
        """
        users = pd.Index(_array(requests, "user"))
        known = users.unique()
        codes, now = known.get_indexer(users), _array(requests, "time")
        known_until = now - milliseconds(self.config.history_delay, "")
        types = self._events["type"]
        for behavior in self.schema.behaviors:
            options = self.config.behaviors[behavior.name]
            names = pa.array(options.events or (behavior.name,))
            table = self._events.filter(pa.compute.is_in(types, names))
            mine = known.get_indexer(_array(table, "user"))
            times = _array(table, "time")
            more = [*options.action_slots, *options.action_counters]
            more += ["dwell"] * options.dwell
            ties = [_array(table, name) for name in more]
            order = np.lexsort((*ties, _codes(table, "item"), times, mine))
            table, mine, times = table.take(order), mine[order], times[order]
            earliest = int(times.min()) if len(times) else 0
            span = (int(times.max()) - earliest if len(times) else 0) + 2

            def key(
                code: Any, time: Any, base: int = earliest, wide: int = span
            ):
                return code * wide + np.clip(time - base, 0, wide - 1)

            placed = key(mine, times)
            ends = np.searchsorted(placed, key(codes, known_until))
            oldest = np.full_like(now, earliest)
            if options.window != WHOLE:
                oldest = now - milliseconds(options.window, "window")
            starts = np.searchsorted(placed, key(codes, oldest))
            starts = np.maximum(starts, ends - behavior.max_length)
            starts = np.minimum(starts, ends)
            count = len(times)
            backwards = table.take(np.arange(count)[::-1])
            columns = self._event_columns(backwards, behavior.name)
            yield count - ends, count - starts, columns

    def _event_columns(self, table: pa.Table, name: str) -> Columns:
        options = self.config.behaviors[name]
        columns = self._item_columns(table, f"{name}_")
        columns[f"{name}_event_time"] = _array(table, "time") // 1000
        if options.dwell:
            dwell = _array(table, "dwell").astype(np.float32)
            columns[f"{name}_dwell_seconds"] = dwell
        counters, slots = options.action_counters, options.action_slots
        if counters:
            blocks = [_array(table, one) for one in counters]
            columns[f"{name}_action_counts"] = np.stack(blocks, axis=1)
        if slots:
            blocks = [_array(table, one) % MISSING["int64"] for one in slots]
            columns[f"{name}_action_ids"] = np.stack(blocks, axis=1)
        return columns

    def _item_columns(self, table: pa.Table, prefix: str) -> Columns:
        columns: Columns = {}
        for column in self.schema.item_columns:
            source = "item" if column.name == "item_id" else column.name
            block = _array(table, source)
            if column.multi_valued:
                most, lists = column.max_values, np.empty(len(block), object)
                for row, values in enumerate(block):
                    lists[row] = list(dict.fromkeys(values.tolist()))[:most]
                block = lists
            columns[prefix + column.name] = block
        return columns


def _array(table: pa.Table, name: str) -> np.ndarray:
    return table[name].to_numpy()


def _codes(table: pa.Table, name: str) -> np.ndarray:
    return pd.factorize(_array(table, name), sort=True)[0]


def _counts(table: pa.Table) -> list[str]:
    return [name for name in table.column_names if name.startswith("count_")]
