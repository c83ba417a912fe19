"""The engines that evaluate expressions over tables: the interface."""

import abc
import contextlib
import glob
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import ibis

from jd_tf.data.files import read_json, write_json
from jd_tf.data.log_report import LogReport
from jd_tf.data.tables.config_parts import TableConfig
from jd_tf.data.tables.engines.csv_files import stage_csv
from jd_tf.data.tables.engines.parquet_files import of_equal_types
from jd_tf.schema import DataError


class Engine(abc.ABC):
    """Reads tables and keeps the results of expressions as Parquet.

    A result that is kept already is not computed again, so that a run that was
    killed goes on where it stopped.

    Args:
        stage: folder of what is kept.

    Attributes:
        errors: exceptions of the engine, which become a `DataError`.
    """

    errors: ClassVar[tuple[type[Exception], ...]]

    def __init__(self, stage: Path):
        self.stage = stage
        stage.mkdir(parents=True, exist_ok=True)

    @abc.abstractmethod
    def read(self, paths: list[str]) -> ibis.Table:
        """Returns the table of Parquet files."""

    @abc.abstractmethod
    def stored_table(self, config: TableConfig) -> ibis.Table:
        """Returns a table of a database or a catalogue."""

    @abc.abstractmethod
    def write(self, table: ibis.Table, path: Path, partition: str) -> None:
        """Writes a table as Parquet, in folders by a column if it is named."""

    @abc.abstractmethod
    def run(self, work: Callable, tasks: list) -> Iterable:
        """Does all tasks in parallel; yields their results in any order."""

    def open(
        self,
        name: str,
        config: TableConfig,
        columns: Iterable[str],
        report: LogReport,
    ) -> ibis.Table:
        """Opens a table of the configuration; checks that its columns exist."""
        where = f"table `{name}` ({config.path or config.table})"
        with self.guard(where):
            if config.table:
                table = self.stored_table(config)
            else:
                table = self.read(self._files(name, config, columns, report))
            there = table.columns
        for column in columns:
            if column not in there:
                raise DataError(
                    f"{where}: no column `{column}`. It has: "
                    f"{', '.join(there)}. Name the right one in "
                    f"`tables.{name}`."
                )
        return table

    def keep(self, name: str, table: ibis.Table, partition: str = "") -> Path:
        """Writes a table below the stage unless it is there; its path."""
        path = self.stage / name
        if not path.exists():
            aside = self.stage / f".{name}"
            if aside.is_dir():
                shutil.rmtree(aside)
            with self.guard(name):
                self.write(table, aside, partition)
            os.rename(aside, path)
        return path

    def kept(self, name: str, table: ibis.Table) -> ibis.Table:
        """Keeps a table and returns it as one that is read back."""
        return self.read([str(self.keep(name, table))])

    def rows(self, table: ibis.Table) -> list[dict[str, Any]]:
        """Returns the rows of a small table."""
        with self.guard("a table"):
            return table.to_pyarrow().to_pylist()

    @contextlib.contextmanager
    def guard(self, where: str) -> Iterator[None]:
        """Turns errors of the engine into one line."""
        try:
            yield
        except self.errors as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()
            raise DataError(f"{where}: {reason[0]}") from error

    def _files(
        self,
        name: str,
        config: TableConfig,
        columns: Iterable[str],
        report: LogReport,
    ) -> list[str]:
        paths = sorted(glob.glob(config.path))
        if not paths:
            raise DataError(
                f"{config.path}: no such file. Name it in `tables.{name}.path`."
            )
        files = []
        for number, path in enumerate(paths):
            if not path.endswith(".parquet"):
                staged = self.stage / f"csv-{name}-{number}.parquet"
                problems = staged.with_suffix(".json")
                if staged.exists():
                    # Counted again: the report is of the whole run.
                    for problem in read_json(problems):
                        report.tolerate(problem)
                else:
                    aside = staged.with_name(f".{staged.name}")
                    met = stage_csv(Path(path), config, columns, aside, report)
                    write_json(problems, met)
                    aside.rename(staged)
                path = str(staged)
            files.append(path)
        return of_equal_types(
            files,
            columns,
            lambda number: self.stage / f"copy-{name}-{number}.parquet",
        )
