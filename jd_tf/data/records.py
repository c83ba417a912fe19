"""TFRecord files of `tf.train.Example`, one request a record.

Lengths stand beside flat lists, so that no lost column passes for empty. A
multi-valued id column has the real values of all its items one after another
and, as `<column>/counts`, how many each item has: `[[3, 8], [], [5]]` is
stored as `[3, 8, 5]` and `[2, 0, 1]`.
"""

import os
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from jd_tf.data.validation import RequestValidator
from jd_tf.schema import Column, DataError, Schema

_FRAME = struct.Struct("<Q")
_CHECKSUM_BYTES = 4


class RequestWriter:
    """Writes checked requests to one TFRecord file."""

    def __init__(self, path: str | Path, schema: Schema):
        self.path = Path(path)
        self.num_requests = 0
        self._validator = RequestValidator(schema)
        self._columns = schema.columns()
        self._writer = tf.io.TFRecordWriter(str(path))

    def write(self, request: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Appends a request; errors name it, the column and the value.

        Returns:
            The request as it was checked.
        """
        try:
            checked = self._validator.check(request)
        except DataError as error:
            raise DataError(
                f"request {request.get('request_id', self.num_requests)!r}: "
                f"{error}."
            ) from error
        self._writer.write(encode_request(checked, self._columns))
        self.num_requests += 1
        return checked

    def __enter__(self) -> "RequestWriter":
        return self

    def __exit__(self, *error: object) -> None:
        self._writer.close()
        with self.path.open("rb") as file:
            os.fsync(file.fileno())


def encode_request(
    checked: Mapping[str, np.ndarray], columns: Iterable[Column]
) -> bytes:
    """Serialises these columns of a checked request as `tf.train.Example`."""
    example = tf.train.Example()
    feature = example.features.feature
    kinds = {"f": "float_list", "O": "bytes_list"}
    for column in columns:
        array = checked[column.name]
        if column.multi_valued:
            real = array.astype(bool)
            feature[column.counts].int64_list.value.extend(real.sum(axis=1))
            array = array[real]
        kind = kinds.get(array.dtype.kind, "int64_list")
        getattr(feature[column.name], kind).value.extend(array.ravel().tolist())
    return example.SerializeToString(deterministic=True)


def count_records(path: str | Path) -> int:
    """Counts a TFRecord file's records by walking its frames."""
    size = Path(path).stat().st_size
    position, count = 0, 0
    header = _FRAME.size + _CHECKSUM_BYTES
    with Path(path).open("rb") as file:
        while position < size:
            file.seek(position)
            frame = file.read(_FRAME.size)
            if len(frame) == _FRAME.size:
                position += header + _FRAME.unpack(frame)[0] + _CHECKSUM_BYTES
            if len(frame) < _FRAME.size or position > size:
                raise DataError(
                    f"{path}: record {count} is cut off at byte {size}; the "
                    "file is truncated or no TFRecord. Copy or make it again."
                )
            count += 1
    return count
