"""Spark, for tables of a cluster."""

import os
import shutil
import sys
import uuid
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

import ibis

from jd_tf.data.tables.config_parts import TableConfig
from jd_tf.data.tables.engines.engine import Engine
from jd_tf.schema import DataError

_ROOT = str(Path(__file__).resolve().parents[4])
_LOCAL_PARTITIONS = 8


class SparkEngine(Engine):
    """Works on the executors of a Spark master.

    Driver and executors must see the folder of what is kept under the same
    name: each executor writes its own shards there.

    Args:
        stage: that folder.
        master: such as local[2] or yarn.
        memory_limit: of the driver, such as 4GB; "" for Spark's default.
    """

    def __init__(self, stage: Path, master: str, memory_limit: str = ""):
        super().__init__(stage)
        try:
            from pyspark.errors import PySparkException
            from pyspark.sql import SparkSession
        except ImportError as error:
            raise DataError(
                "--engine=spark needs PySpark: pip install 'jd_tf[spark]'."
            ) from error
        if shutil.which("java") is None:
            raise DataError(
                "--engine=spark needs Java 17 or later and finds no `java`: "
                "install it (Debian: apt-get install openjdk-17-jre-headless)."
            )
        self.errors = (  # type: ignore[misc]
            PySparkException,
            ibis.common.exceptions.IbisError,
        )
        builder = SparkSession.builder.master(master).appName("jd_tf")
        options = {
            "spark.sql.session.timeZone": "UTC",
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            # Executors find this package as the driver does.
            "spark.executorEnv.PYTHONPATH": os.pathsep.join(
                filter(None, (_ROOT, os.environ.get("PYTHONPATH")))
            ),
        }
        if master.startswith("local"):
            os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
            options["spark.sql.shuffle.partitions"] = str(_LOCAL_PARTITIONS)
        if memory_limit:
            options["spark.driver.memory"] = memory_limit.lower().rstrip("b")
        for name, value in options.items():
            builder = builder.config(name, value)
        self._session = builder.getOrCreate()
        self._session.sparkContext.setLogLevel("ERROR")
        self._connection = ibis.pyspark.connect(self._session)

    def read(self, paths: list[str]) -> ibis.Table:
        """Returns the table of Parquet files."""
        name = f"jd_tf_{uuid.uuid4().hex}"
        frame = self._session.read.parquet(*paths)
        frame.createOrReplaceTempView(name)
        return self._connection.table(name)

    def stored_table(self, config: TableConfig) -> ibis.Table:
        """Returns a table of a database or a catalogue."""
        return self._connection.table(config.table)

    def rows(self, table: ibis.Table) -> list[dict]:
        """Returns the rows of a small table."""
        with self.guard("a table"):
            frame = self._session.sql(ibis.to_sql(table, dialect="pyspark"))
            return [row.asDict() for row in frame.collect()]

    def write(self, table: ibis.Table, path: Path, partition: str) -> None:
        """Writes a table as Parquet."""
        frame = self._session.sql(ibis.to_sql(table, dialect="pyspark"))
        writer = frame.write
        if partition:
            writer = frame.repartition(partition).write.partitionBy(partition)
        writer.parquet(str(path))

    def run(self, work: Callable, tasks: list) -> Iterable:
        """Does all tasks in parallel."""
        context = self._session.sparkContext
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            spread = context.parallelize(tasks, len(tasks))
            yield from spread.map(work).collect()
