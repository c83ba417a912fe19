"""Requests from a TFRecord file of ours."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from jd_tf.data.records import count_records
from jd_tf.schema import SERVING_ROLES, Column, DataError, Role, Schema

_KINDS = {
    "string": "bytes_list",
    "float32": "float_list",
    "int32": "int64_list",
    "int64": "int64_list",
}


def read_records(path: Path, schema: Schema) -> Iterator[dict[str, Any]]:
    """Yields the requests of a file of a data folder.

    Args:
        path: the file.
        schema: names what it must hold.

    Raises:
        DataError: naming the file and the record.
    """
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
