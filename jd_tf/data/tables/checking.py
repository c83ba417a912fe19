"""A text on how tables are understood, with sample requests."""

import datetime
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jd_tf.data.sources.source import LogReport
from jd_tf.data.tables.config_reading import read_config
from jd_tf.data.tables.joining import ShardTask, TableJoin
from jd_tf.data.tables.making import open_engine
from jd_tf.data.tables.shard_writing import ShardRequests
from jd_tf.schema import Schema

_SAMPLES, _SHOWN = 10, 6


def check_tables(
    path: str | Path, folder: Path, max_bad_records: int = 0, **options: Any
) -> str:
    """Joins the tables of a configuration and describes the outcome.

    Args:
        path: the YAML file.
        folder: of what is kept meanwhile.
        max_bad_records: rows that may be skipped.
        **options: of `jd_tf.data.tables.making.open_engine`.
    """
    config, report = read_config(path), LogReport(max_bad_records)
    engine = options.pop("engine", "duckdb")
    join = TableJoin(open_engine(engine, folder, **options), config, report)
    join.run()
    lines = [f"{path}: data set {config.name}", ""]
    lines += [f"  {what}: {count}" for what, count in report.counts.items()]
    lines += [f"  bad rows skipped: {report.bad_records}"]
    lines += [f"  {text}" for text in (*report.messages, *report.notes)]
    lines += ["", "Columns of a request", *_columns(join.schema)]
    lines += ["", f"{_SAMPLES} requests"]
    tasks = (
        ShardTask(str(folder), "", n, join.num_shards, config, join.schema)
        for n in range(join.num_shards)
    )
    requests = itertools.chain.from_iterable(
        ShardRequests(task).requests() for task in tasks
    )
    for split, request in itertools.islice(requests, _SAMPLES):
        lines += _sample(split, request, join.schema)
    return "\n".join(lines)


def _columns(schema: Schema) -> Iterator[str]:
    features = {"item_dense": schema.item_dense}
    features["session_dense"] = schema.session_dense
    for column in schema.columns():
        axes = ", ".join(column.axes)
        names = ": ".join(["", ", ".join(features.get(column.name, ()))])
        yield f"  {column.name} [{axes}] {column.dtype}{names.rstrip(': ')}"


def _sample(
    split: str, request: dict[str, Any], schema: Schema
) -> Iterator[str]:
    time = datetime.datetime.fromtimestamp(
        int(request["request_time"]), datetime.timezone.utc
    )
    yield (
        f"  {request['request_id']} of user {request['user_id']} at "
        f"{time:%Y-%m-%d %H:%M:%S} UTC ({split})"
    )
    for column in schema.columns():
        if column.name not in request or column.name in (
            "request_id",
            "user_id",
            "request_time",
        ):
            continue
        value = request[column.name]
        more = ""
        if column.ragged:
            more = f" ... {len(value)}" if len(value) > _SHOWN else ""
            value = value[:_SHOWN]
        if isinstance(value, np.ndarray):
            value = value.tolist()
        yield f"    {column.name}: {value}{more}"
