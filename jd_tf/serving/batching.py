"""Requests to one padded batch, to slices, and back, by NumPy alone."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jd_tf.schema import SERVING_ROLES, Column, DataError, Role, Schema
from jd_tf.serving.shape_buckets import candidate_buckets


def pad_requests(
    requests: Sequence[Mapping[str, np.ndarray]],
    columns: Sequence[Column],
    widths: Mapping[str, int] | None = None,
) -> dict[str, np.ndarray]:
    """Stacks checked requests, padded to the longest with 0 or "".

    Args:
        requests: as `RequestValidator.check` returned them; at least one.
        columns: which columns to stack, lengths included.
        widths: least width by length column, for buckets of shapes.

    Returns:
        One array a column. No axis is empty: a server that pads requests to
        a common width cannot pad from nothing.
    """
    widths = widths or {}
    batch = {}
    for column in columns:
        arrays = [request[column.name] for request in requests]
        if column.ragged:
            width = max(1, widths.get(column.length, 0), *map(len, arrays))
            arrays = [_pad(array, width) for array in arrays]
        stacked = np.stack(arrays)
        dtype = object if column.dtype == "string" else column.dtype
        batch[column.name] = stacked.astype(dtype, copy=False)
    return batch


def is_batch(request: Mapping[str, Any]) -> bool:
    """Returns whether columns have a batch axis: then lengths are lists."""
    return _num_rows(request.get("num_candidates")) is not None


def split_batch(
    batch: Mapping[str, Any], schema: Schema
) -> list[dict[str, Any]]:
    """Cuts a padded batch into its unpadded requests.

    Args:
        batch: serving columns with a batch axis, lengths beside them. Other
            columns are left out if the schema knows them.
        schema: names the lengths.

    Raises:
        DataError: naming the column that disagrees with the others.
    """
    num_requests = len(batch["num_candidates"])
    known = {column.name: column for column in schema.columns()}
    served = {column.name for column in schema.columns(*SERVING_ROLES)}
    requests: list[dict[str, Any]] = [{} for _ in range(num_requests)]
    for name, values in batch.items():
        column = known.get(name)
        if _num_rows(values) != num_requests:
            raise DataError(
                f"batch: column `{name}` must have {num_requests} rows like "
                "`num_candidates`"
            )
        for row, value in enumerate(values):
            if column is not None and column.ragged and name in served:
                value = _cut(column, value, batch, row)
            if column is None or not column.ragged or name in served:
                requests[row][name] = value
    return requests


def check_buckets(
    buckets: Sequence[int] | None, slice_size: int, schema: Schema
) -> tuple[int, ...]:
    """Returns ascending widths that end with the slice size, or ().

    Args:
        buckets: widths of slices; () for exact ones, None for widths that
            double up to the slice size.
        slice_size: candidates of a slice at most.
        schema: has the limit.

    Raises:
        DataError: if they do not, or are beyond the schema.
    """
    if not 1 <= slice_size <= schema.max_candidates:
        raise DataError(
            f"`slice_size` must be from 1 to {schema.max_candidates}, which "
            f"the schema allows. Got: {slice_size}."
        )
    if buckets is None:
        return candidate_buckets(slice_size)
    buckets = tuple(buckets)
    ascending = all(a < b for a, b in zip((0, *buckets), buckets, strict=False))
    if buckets and not (ascending and buckets[-1] == slice_size):
        raise DataError(
            f"`buckets` must ascend to `slice_size` ({slice_size}). Got: "
            f"{buckets}."
        )
    return buckets


def cut_slices(
    request: Mapping[str, np.ndarray], schema: Schema, slice_size: int
) -> list[dict[str, np.ndarray]]:
    """Cuts a request into requests of fewer candidates, in order.

    Args:
        request: checked, unpadded.
        schema: names the columns of candidates.
        slice_size: candidates of a slice at most.
    """
    columns = [c.name for c in schema.columns(Role.CANDIDATE) if c.ragged]
    slices = []
    for start in range(0, int(request["num_candidates"]), slice_size):
        part = {n: request[n][start : start + slice_size] for n in columns}
        count = np.int32(len(part["item_id"]))
        slices.append({**request, **part, "num_candidates": count})
    return slices


def _cut(column: Column, value: Any, batch: Mapping[str, Any], row: int) -> Any:
    if column.length not in batch:
        raise DataError(
            f"batch: column `{column.length}` is missing; it counts how much "
            f"of `{column.name}` is real"
        )
    lengths, width = batch[column.length], _num_rows(value)
    length = lengths[row] if row < (_num_rows(lengths) or 0) else None
    fits = width is not None and isinstance(length, int | np.integer)
    if not fits or not 0 <= length <= width:  # type: ignore[operator]
        raise DataError(
            f"batch: row {row}: `{column.length}` is {length}, but "
            f"`{column.name}` has {width or 'no'} entries"
        )
    return value[:length]


def _num_rows(values: Any) -> int | None:
    """Length of a list or array, None for anything else."""
    if isinstance(values, list | tuple) or np.ndim(values):
        return len(values)
    return None


def _pad(array: np.ndarray, width: int) -> np.ndarray:
    if len(array) == width:
        return array
    # np.pad would do, in several times the time.
    fill = b"" if array.dtype == object else 0
    padded = np.full((width, *array.shape[1:]), fill, array.dtype)
    padded[: len(array)] = array
    return padded
