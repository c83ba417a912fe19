"""Requests from a file: JSON, JSON lines, or a TFRecord file of ours."""

import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from jd_tf.data.records import count_records
from jd_tf.schema import SERVING_ROLES, Column, DataError, Role, Schema
from jd_tf.serving.batching import is_batch, split_batch

_GZIP = b"\x1f\x8b"
_SNIFFED_BYTES = 4096
_KINDS = {
    "string": "bytes_list",
    "float32": "float_list",
    "int32": "int64_list",
    "int64": "int64_list",
}


def read_requests(
    path: str | Path, schema: Schema, limit: int | None = None
) -> list[dict[str, Any]]:
    """Reads requests as `SavedRanker.rank` takes them.

    JSON holds one request, a list of them, one a line, or a padded batch of
    columns with lengths. A TFRecord file is told by the zero bytes that its
    frames begin with; JSON has none.

    Args:
        path: the file.
        schema: names what a TFRecord file must hold.
        limit: how many of its first requests; all by default.

    Returns:
        Requests; their columns are checked by whoever ranks them, save those
        of a TFRecord file, which are checked here.

    Raises:
        DataError: naming the file and the line or record.
    """
    path = Path(path)
    if not path.is_file():
        what = "is a folder; name a file" if path.is_dir() else "no such file"
        raise DataError(f"{path}: {what}.")
    with path.open("rb") as file:
        start = file.read(_SNIFFED_BYTES)
    if not start.strip():
        raise DataError(f"{path}: is empty; it should hold requests.")
    if start.startswith(_GZIP):
        raise DataError(f"{path}: is compressed; unpack it first.")
    if b"\0" in start:
        return list(itertools.islice(_read_records(path, schema), limit))
    requests = _parse_json(path)
    if not requests:
        raise DataError(f"{path}: holds no requests.")
    try:
        return [r for one in requests for r in _unbatched(one, schema)][:limit]
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


def _unbatched(request: Any, schema: Schema) -> list[Any]:
    if isinstance(request, Mapping) and is_batch(request):
        return split_batch(request, schema)
    return [request]


def _read_records(path: Path, schema: Schema) -> Iterator[dict[str, Any]]:
    num_records = count_records(path)
    columns = schema.columns(Role.KEY, *SERVING_ROLES)
    dataset = iter(tf.data.TFRecordDataset(str(path)))
    for number in range(num_records):
        try:
            example = tf.train.Example.FromString(next(dataset).numpy())
            yield _decode(example, columns)
        except DataError as error:
            raise DataError(f"{path}: record {number}: {error}.") from error
        except (tf.errors.DataLossError, ValueError, TypeError) as error:
            raise DataError(
                f"{path}: record {number}: not a request: {error}."
            ) from error


def _decode(example: Any, columns: tuple[Column, ...]) -> dict[str, Any]:
    feature = example.features.feature
    request: dict[str, Any] = {}
    for column in columns:
        if column.name not in feature:
            raise DataError(
                f"no column `{column.name}`, which the model asks for"
            )
        stored, kind = feature[column.name], _KINDS[column.dtype]
        # An empty list may have been written as no list at all.
        if stored.WhichOneof("kind") not in (kind, None):
            raise DataError(
                f"column `{column.name}` holds a {stored.WhichOneof('kind')}, "
                f"should hold {column.dtype}"
            )
        array = np.array(
            list(getattr(stored, kind).value),
            object if column.dtype == "string" else column.dtype,
        )
        if column.ragged:
            shape = (-1, column.inner) if column.inner else (-1,)
        else:
            shape = (column.inner,) if column.inner else ()
        try:
            request[column.name] = array.reshape(shape)
        except ValueError as error:
            raise DataError(
                f"column `{column.name}` holds {array.size} values of "
                f"{column.dtype}, which does not make {shape}"
            ) from error
    return request
