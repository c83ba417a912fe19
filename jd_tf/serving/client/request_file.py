"""Requests from a file: JSON, JSON lines, or a TFRecord file of ours."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from jd_tf.schema import SERVING_ROLES, Column, DataError, Role, Schema
from jd_tf.serving.batching import is_batch, split_batch
from jd_tf.serving.protos.messages import Example
from jd_tf.serving.protos.record_files import iterate_records

_KINDS = {
    "string": "bytes_list",
    "float32": "float_list",
    "int32": "int64_list",
    "int64": "int64_list",
}


def read_requests(
    path: str | Path, schema: Schema, limit: int | None = None
) -> list[dict[str, Any]]:
    """Reads requests as `RankingClient.rank` takes them.

    JSON holds one request, a list of them, one a line, or a padded batch of
    columns with lengths. A TFRecord file is known by the zero bytes that its
    frames begin with; JSON has none.

    Args:
        path: the file.
        schema: names the columns of a TFRecord file.
        limit: how many of its first requests; all by default.

    Returns:
        Requests. Their values are checked when they are ranked.

    Raises:
        DataError: naming the file and the line or record.
    """
    path = Path(path)
    if not path.is_file():
        what = "is a folder; name a file" if path.is_dir() else "no such file"
        raise DataError(f"{path}: {what}.")
    with path.open("rb") as file:
        start = file.read(4096)
    if not start.strip():
        raise DataError(f"{path}: is empty; it should hold requests.")
    if start.startswith(b"\x1f\x8b"):
        raise DataError(f"{path}: is compressed; unpack it first.")
    if b"\0" in start:
        return list(itertools.islice(_read_records(path, schema), limit))
    requests = _parse_json(path)
    if not requests:
        raise DataError(f"{path}: holds no requests.")
    try:
        unbatched = (
            split_batch(one, schema) if is_batch(one) else [one]
            for one in requests
        )
        return list(itertools.chain.from_iterable(unbatched))[:limit]
    except DataError as error:
        raise DataError(f"{path}: {error}.") from error


def _parse_json(path: Path) -> list[Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: neither a TFRecord file nor UTF-8 text: {error}."
        ) from error
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError) as error:
        whole = error
    else:
        return parsed if isinstance(parsed, list) else [parsed]
    requests = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                requests.append(json.loads(line))
            except (ValueError, RecursionError) as error:
                # One bad line among good ones, or no JSON lines at all.
                reason = f"line {number}: {error}" if requests else str(whole)
                raise DataError(f"{path}: not JSON: {reason}.") from error
    return requests


def _read_records(path: Path, schema: Schema) -> Iterator[dict[str, Any]]:
    columns = schema.columns(Role.KEY, *SERVING_ROLES)
    for number, record in enumerate(iterate_records(path)):
        try:
            feature = Example.FromString(record).features.feature
            yield {c.name: _decode(feature, c) for c in columns}
        except (DataError, DecodeError) as error:
            what = "not a request: " * isinstance(error, DecodeError)
            raise DataError(
                f"{path}: record {number}: {what}{error}."
            ) from error


def _decode(feature: Any, column: Column) -> np.ndarray | list:
    if column.name not in feature:
        raise DataError(f"no column `{column.name}`, which the schema has")
    stored, kind = feature[column.name], _KINDS[column.dtype]
    # An empty list may have been written as no list at all.
    found = stored.WhichOneof("kind")
    if found not in (kind, None):
        raise DataError(
            f"column `{column.name}` holds a {found}, should hold "
            f"{column.dtype}"
        )
    values = list(getattr(stored, kind).value)
    if column.multi_valued:
        counts = feature[column.counts].int64_list.value
        if sum(counts) != len(values):
            raise DataError(
                f"column `{column.name}` holds {len(values)} values, but "
                f"`{column.counts}` counts {sum(counts)}"
            )
        ends = itertools.accumulate(counts, initial=0)
        return [values[a:b] for a, b in itertools.pairwise(ends)]
    array = np.array(values, object if kind == "bytes_list" else column.dtype)
    shape = tuple(-1 if size is None else size for size in column.shape[1:])
    try:
        return array.reshape(shape)
    except ValueError as error:
        raise DataError(
            f"column `{column.name}` holds {array.size} values of "
            f"{column.dtype}, which does not make {shape}"
        ) from error
