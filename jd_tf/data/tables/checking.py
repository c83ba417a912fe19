"""A text on how tables are understood, with sample requests."""

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ibis
import numpy as np

from jd_tf.data.log_report import SPLITS, LogReport
from jd_tf.data.tables.config_reading import read_config
from jd_tf.data.tables.joining import ShardTask, TableJoin
from jd_tf.data.tables.making import open_engine
from jd_tf.data.tables.shard_writing import ShardRequests
from jd_tf.schema import Schema

_SAMPLES, _SHOWN = 10, 6
_IN_TITLE = ("request_id", "user_id", "request_time")


def check_tables(
    path: str | Path,
    folder: Path,
    input_dir: str | Path | None = None,
    max_bad_records: int = 0,
    **options: Any,
) -> str:
    """Joins the tables of a configuration and describes the outcome.

    Args:
        path: the YAML file, or a name in `LOGS`.
        folder: of what is kept meanwhile.
        input_dir: folder of the tables; by default that of the file.
        max_bad_records: rows that may be skipped.
        **options: of `jd_tf.data.tables.making.open_engine`.
    """
    config, report = read_config(path, input_dir), LogReport(max_bad_records)
    engine = options.pop("engine", "duckdb")
    opened = open_engine(engine, folder, **options)
    join = TableJoin(opened, config, report)
    join.run()
    rows = opened.rows(join.requests.group_by("split").agg(rows=ibis._.count()))
    counts = {row["split"]: row["rows"] for row in rows}
    lines = [f"{path}: data set {config.name}", ""]
    lines += [f"  {what}: {count}" for what, count in report.counts.items()]
    lines += [f"  requests of {n}: {counts.get(n, 0)}" for n in SPLITS]
    lines += [f"  bad rows skipped: {report.bad_records}"]
    lines += [f"  {text}" for text in (*report.messages, *report.notes)]
    lines += ["", "Columns of a request", *_columns(join.schema)]
    lines += ["", f"{_SAMPLES} requests, from the first to the last of a shard"]
    task = ShardTask(str(folder), "", 0, join.num_shards, config, join.schema)
    requests = list(ShardRequests(task).requests())
    places = np.linspace(0, len(requests) - 1, min(_SAMPLES, len(requests)))
    for place in places.astype(int):
        split, request = requests[place]
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
    dense = {"item_dense": schema.item_dense, "labels": schema.objective_names}
    dense |= {"session_dense": schema.session_dense}
    dense["label_weights"] = schema.objective_names
    for column in schema.columns():
        name, value = column.name, request.get(column.name)
        if value is None or not np.size(value) or name in _IN_TITLE:
            continue
        if name in dense:
            for place, one in enumerate(dense[name]):
                yield f"    {name} {one}: {_shown(value[..., place])}"
        else:
            yield f"    {name}: {_shown(value)}"


def _shown(value: Any) -> str:
    """Returns the first of several values, numbers in four digits."""
    value = np.asarray(value)
    first = value if not value.ndim else value[:_SHOWN]
    if value.dtype.kind == "f":
        # As short as can be: 0.25 for 0.2500.
        first = np.array([float(f"{one:.4g}") for one in first.flat])
        first = first if value.ndim else first[0]
    more = f" ... {len(value)}" if np.size(value) > np.size(first) else ""
    return f"{first.tolist()}{more}"
