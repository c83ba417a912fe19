"""Snapshots of statistics and user profiles, made and brought up to date."""

import contextlib
import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from jd_tf.data.dataset import new_folder, read_schema
from jd_tf.data.files import read_json, write_json
from jd_tf.data.log_report import LogReport
from jd_tf.data.tables.config import TablesConfig
from jd_tf.data.tables.derived_schema import dense_names
from jd_tf.data.tables.joining import REQUESTS, ShardTask
from jd_tf.data.tables.making import open_engine
from jd_tf.data.tables.shard_writing import ShardRequests
from jd_tf.data.tables.snapshots.count_tables import CountTables
from jd_tf.data.tables.snapshots.snapshot import (
    CONFIG_FILE,
    ITEM_FILE,
    SNAPSHOT_FILE,
    USER_FILE,
)
from jd_tf.data.tables.snapshots.snapshot_join import ITEMS, STATE, SnapshotJoin
from jd_tf.data.tables.statistics import Statistics
from jd_tf.data.tables.times import moment
from jd_tf.schema import DataError


def refresh_snapshot(
    config: TablesConfig,
    data_dir: str | Path,
    output_dir: str | Path,
    as_of: str = "",
    rebuild: bool = False,
    max_bad_records: int = 0,
    **options: Any,
) -> LogReport:
    """Makes a snapshot, or brings it up to date with new rows, atomically.

    Args:
        config: the declaration; its tables of events and impressions need no
            row that the snapshot has seen.
        data_dir: request records made of it, for their schema.
        output_dir: the snapshot; see `Snapshot`.
        as_of: ISO time of the requests it is for; the end of the log if "".
        rebuild: forgets what the snapshot has seen.
        max_bad_records: rows that may be skipped.
        **options: of `jd_tf.data.tables.making.open_engine`.

    Raises:
        DataError: if the configuration is another one, or the time earlier
            than that of the snapshot; then it stays as it was.
    """
    output, schema = Path(output_dir), read_schema(data_dir)
    if (schema.item_dense, schema.session_dense) != dense_names(config):
        raise DataError(
            f"{data_dir}: was made by a configuration with other features. "
            "Make data and model anew."
        )
    settings = _settings(config)
    known = _known(output, settings, rebuild)
    time = moment(as_of, config.zone, "as_of") if as_of else None
    report = LogReport(max_bad_records)
    with new_folder(output, overwrite=True) as folder:
        stage = folder / "stage"
        engine = open_engine(options.pop("engine", "duckdb"), stage, **options)
        state = output / STATE if known else None
        boundary = known.get("boundary", 0)
        join = SnapshotJoin(engine, config, report, state, boundary)
        time, boundary = join.run_at(time, folder)
        if time < known.get("as_of", 0):
            raise DataError(
                f"{output}: is as of {known['as_of']} ms, later than {time}. "
                "Name a later time, or pass --rebuild."
            )
        counts = CountTables(folder, Statistics(config))
        with contextlib.ExitStack() as stack:
            writer = None
            for shard in range(join.num_shards):
                task = ShardTask(
                    str(stage), "", shard, join.num_shards, config, schema
                )
                part = SnapshotColumns(task, counts)
                users = part.users()
                if writer is None:
                    pyarrow.parquet.write_table(
                        part.items(), folder / ITEM_FILE
                    )
                    writer = stack.enter_context(
                        pyarrow.parquet.ParquetWriter(
                            folder / USER_FILE, users.schema
                        )
                    )
                writer.write_table(users)
        shutil.rmtree(stage)
        write_json(folder / CONFIG_FILE, settings)
        stored: dict[str, Any] = {"as_of": time, "boundary": boundary}
        stored["schema"] = schema.to_json()
        write_json(folder / SNAPSHOT_FILE, stored)
    return report


def _settings(config: TablesConfig) -> dict[str, Any]:
    """Returns the configuration as JSON has it, without paths."""
    settings = json.loads(json.dumps(dataclasses.asdict(config)))
    for table in settings["tables"].values():
        table["path"] = table["path"] and "elsewhere"
    return dict(settings)


def _known(
    output: Path, settings: dict[str, Any], rebuild: bool
) -> dict[str, int]:
    """Returns time and boundary of the snapshot that is there."""
    if not output.is_dir() or not any(output.iterdir()):
        return {}
    if not (output / SNAPSHOT_FILE).exists():
        raise DataError(f"{output}: is no snapshot. Name another folder.")
    if rebuild:
        return {}
    if read_json(output / CONFIG_FILE) != settings:
        raise DataError(
            f"{output}: was made by another configuration. Make it anew with "
            "--rebuild."
        )
    return dict(read_json(output / SNAPSHOT_FILE))


class SnapshotColumns(ShardRequests):
    """Items and users as of a moment, in the columns of requests.

    Args:
        task: a part of the users.
        counts: as of the moment.
    """

    def __init__(self, task: ShardTask, counts: CountTables):
        super().__init__(task)
        self._count_tables = counts

    def items(self) -> pa.Table:
        """Returns all items in the order of their ids, a feature a column."""
        table = pyarrow.parquet.read_table(Path(self._task.stage) / ITEMS)
        table = table.sort_by("item")
        config = self.config
        for name in config.table_numbers("impressions"):
            # Known when it is shown.
            zeros = pa.array(np.zeros(table.num_rows))
            table = table.append_column(name, zeros)
        columns = {
            name: pa.array(list(block))
            for name, block in self._item_columns(table, "").items()
        }
        numbers = config.table_numbers
        names = [*numbers("items"), *numbers("impressions")]
        return self._with_features(columns, table, names, of_request=False)

    def users(self) -> pa.Table:
        """Returns users with their histories, a feature a column."""
        users = self._read(REQUESTS).sort_by("user")
        columns: dict[str, Any] = {"user_id": users["user"]}
        columns |= {n: users[n] for n in self.config.table_ids("users")}
        for starts, ends, blocks in self._histories(users):
            lengths = np.maximum(ends - starts, 0)
            offsets = np.cumsum([0, *lengths])
            rows = np.arange(offsets[-1])
            rows += np.repeat(starts - offsets[:-1], lengths)
            for name, block in blocks.items():
                column = self.schema.column(name)
                kind = pa.type_for_alias(column.dtype)
                kind = pa.list_(kind) if column.inner else kind
                values = pa.array(list(block[rows]), kind)
                columns[name] = pa.ListArray.from_arrays(offsets, values)
        numbers = [*self.config.table_numbers("users")]
        return self._with_features(columns, users, numbers, of_request=True)

    def _with_features(
        self,
        columns: dict[str, Any],
        table: pa.Table,
        numbers: list[str],
        of_request: bool,
    ) -> pa.Table:
        """Returns columns and the features of items or users alone."""
        # The time is of no key, but of all rows.
        wanted = {*self._statistics.columns, "time"} & {*table.column_names}
        values = {name: table[name].to_numpy() for name in wanted}
        counts = self._count_tables.find(values)
        dense = self._dense(table, numbers, of_request, counts)
        names = self.schema.item_dense
        if of_request:
            names = self.schema.session_dense
        features = {name: dense[:, place] for place, name in enumerate(names)}
        return pa.table({**columns, **features})
