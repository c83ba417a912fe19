"""DuckDB, the embedded engine."""

from collections.abc import Callable, Iterable
from pathlib import Path

import duckdb
import ibis

from jd_tf.data.processes import unordered_map
from jd_tf.data.tables.config_parts import TableConfig
from jd_tf.data.tables.engines.engine import Engine
from jd_tf.schema import DataError


class DuckDBEngine(Engine):
    """Works in this process; spills to disk beyond a limit of memory.

    Args:
        stage: folder of what is kept and spilled.
        memory_limit: such as 4GB; "" for 80 % of the machine's.
        num_processes: threads, and processes that write shards.
    """

    errors = (duckdb.Error, ibis.common.exceptions.IbisError)

    def __init__(
        self, stage: Path, memory_limit: str = "", num_processes: int = 2
    ):
        super().__init__(stage)
        self.num_processes = num_processes
        self._databases: dict[str, str] = {}  # Path of a database -> its alias
        options = {"memory_limit": memory_limit} if memory_limit else {}
        with self.guard("DuckDB"):
            self._connection = ibis.duckdb.connect(
                threads=num_processes,
                temp_directory=str(stage / "spill"),
                preserve_insertion_order=False,
                **options,
            )
            self._connection.raw_sql("SET TimeZone = 'UTC'")

    def read(self, paths: list[str]) -> ibis.Table:
        """Returns the table of Parquet files."""
        # A folder such as `user=5` above a table is no column of it.
        return self._connection.read_parquet(paths, hive_partitioning=False)

    def stored_table(self, config: TableConfig) -> ibis.Table:
        """Returns a table of a database or a catalogue."""
        if not Path(config.path).is_file():
            raise DataError(f"{config.path}: no such DuckDB file.")
        path = config.path.replace("'", "''")
        alias = self._databases.setdefault(path, f"file_{len(self._databases)}")
        names = [alias, *config.table.replace('"', "").split(".")]
        table = ".".join(f'"{name}"' for name in names)
        view = f"view_of_{'_'.join(names)}"
        for statement in (
            f"ATTACH IF NOT EXISTS '{path}' AS {alias} (READ_ONLY)",
            f'CREATE OR REPLACE VIEW "{view}" AS SELECT * FROM {table}',
        ):
            self._connection.raw_sql(statement)
        return self._connection.table(view)

    def write(self, table: ibis.Table, path: Path, partition: str) -> None:
        """Writes a table as Parquet."""
        by = {"partition_by": (partition,)} if partition else {}
        table.to_parquet(path, **by)

    def run(self, work: Callable, tasks: list) -> Iterable:
        """Does all tasks in parallel."""
        # The writers take the memory that the joins are done with.
        self._connection.disconnect()
        with unordered_map(self.num_processes) as spread:
            yield from spread(work, tasks)
