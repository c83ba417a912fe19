"""A data set folder from tables: joined, then written shard by shard."""

import glob
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from tqdm import tqdm

import jd_tf
from jd_tf.data.dataset import new_folder, seal
from jd_tf.data.files import read_json, write_json
from jd_tf.data.log_report import SPLITS, LogReport
from jd_tf.data.summary import write_summary
from jd_tf.data.suspicions import Suspicions
from jd_tf.data.tables.config import TablesConfig
from jd_tf.data.tables.engines.duckdb_engine import DuckDBEngine
from jd_tf.data.tables.engines.engine import Engine
from jd_tf.data.tables.engines.spark_engine import SparkEngine
from jd_tf.data.tables.joining import ShardTask, TableJoin
from jd_tf.data.tables.shard_writing import write_shard
from jd_tf.schema import DataError

ENGINES = ("duckdb", "spark")


def open_engine(
    name: str,
    stage: Path,
    master: str = "local[2]",
    memory_limit: str = "",
    num_processes: int = 2,
) -> Engine:
    """Opens DuckDB or Spark on a folder of what is kept."""
    if name == "spark":
        return SparkEngine(stage, master, memory_limit)
    if name != "duckdb":
        raise DataError(f"`engine` must be one of {ENGINES}. Got: {name!r}.")
    return DuckDBEngine(stage, memory_limit, num_processes)


def make_from_tables(
    config: TablesConfig,
    output_dir: str | Path,
    num_shards: int = 0,
    overwrite: bool = False,
    progress: bool = False,
    max_bad_records: int = 0,
    **options: Any,
) -> dict[str, Any]:
    """Makes a data set of tables; see `make_dataset`.

    What was kept before a kill lies beside the output, and the same call goes
    on with it. Errors leave nothing.

    Args:
        config: the declaration.
        output_dir: the new folder.
        num_shards: files per split; 0: one for a million events.
        overwrite: replaces an existing folder.
        progress: shows a progress bar.
        max_bad_records: rows that may be skipped; one more is an error.
        **options: of `open_engine`, which engine first.

    Returns:
        The summary; see `jd_tf.data.summary`.
    """
    output = Path(output_dir)
    with new_folder(output, overwrite) as folder:
        stage = _stage(output, config, num_shards, options)
        try:
            report = LogReport(max_bad_records)
            engine = options.pop("engine", "duckdb")
            opened = open_engine(engine, stage / "kept", **options)
            join = TableJoin(opened, config, report)
            join.run(num_shards)
            suspicions = _write(opened, join, stage, progress)
            _check_splits(report, stage)
            for path in (stage / "shards").iterdir():
                shutil.move(path, folder / path.name)
            seal(folder, join.schema)
            summary = write_summary(
                folder, report.to_json(), suspicions.lines()
            )
        except Exception:
            # Bad input leaves nothing; a kill leaves what a resume needs.
            shutil.rmtree(stage, ignore_errors=True)
            raise
        shutil.rmtree(stage)
    return summary


def _write(
    engine: Engine, join: TableJoin, stage: Path, progress: bool
) -> Suspicions:
    shards = stage / "shards"
    shards.mkdir(exist_ok=True)
    tasks = [
        ShardTask(
            stage=str(stage / "kept"),
            folder=str(shards),
            shard=shard,
            num_shards=join.num_shards,
            config=join.config,
            schema=join.schema,
        )
        for shard in range(join.num_shards)
    ]
    done = engine.run(write_shard, tasks)
    suspicions = Suspicions(join.schema)
    for found in tqdm(
        done, "writing", len(tasks), disable=not progress, unit=" shards"
    ):
        suspicions.merge(found)
    return suspicions


def _check_splits(report: LogReport, stage: Path) -> None:
    from jd_tf.data.records import count_records

    counts = dict.fromkeys(SPLITS, 0)
    for path in (stage / "shards").glob("*.tfrecord"):
        counts[path.name.split("-")[0]] += count_records(path)
    empty = [split for split, count in counts.items() if not count]
    if empty:
        found = ", ".join(f"{n} {split}" for split, n in counts.items())
        raise DataError(
            f"table `impressions`: no requests for the {empty[0]} split "
            f"({found}). Change `split`, or give more requests."
        )


def _stage(
    output: Path, config: TablesConfig, num_shards: int, options: dict[str, Any]
) -> Path:
    """Returns the folder of what is kept for exactly this data set."""
    files = []
    for table in config.tables.values():
        for path in sorted(glob.glob(table.path)):
            status = Path(path).stat()
            files.append([path, status.st_size, status.st_mtime_ns])
    # Another version may join otherwise.
    made_by = (jd_tf.__version__, options.get("engine"))
    text = repr((made_by, config, num_shards, files))
    identity = {"made of": hashlib.sha256(text.encode()).hexdigest()}
    stage = output.parent / f".{output.name}.tables"
    note = stage / "made_of.json"
    if stage.exists() and not (note.exists() and read_json(note) == identity):
        shutil.rmtree(stage)
    if not stage.exists():
        write_json(note, json.loads(json.dumps(identity)))
    return stage
