"""Requests from a file: JSON, JSON lines, or a TFRecord file of ours."""

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jd_tf.schema import DataError, Schema
from jd_tf.serving.batching import is_batch, split_batch

_GZIP = b"\x1f\x8b"
_SNIFFED_BYTES = 4096


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
        # TensorFlow, which only these files need, takes seconds to load.
        from jd_tf.serving.client.request_records import read_records

        return list(itertools.islice(read_records(path, schema), limit))
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
