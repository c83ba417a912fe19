"""Requests to one padded batch, to slices, and back, by NumPy alone."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jd_tf.schema import SERVING_ROLES, Column, DataError, Role, Schema

# Requests B that a batching server runs together, ascending. The last is the
# largest call it takes.
BATCH_SIZES = (1, 2, 4, 8, 16)


def candidate_buckets(max_candidates: int) -> tuple[int, ...]:
    """Candidates N that a client pads to and a server is warmed for, ascending.

    They double up to the schema's maximum: at most half of a call is padding.
    """
    # Fewer candidates are padded to 16.
    doubled = [2**power for power in range(4, max_candidates.bit_length())]
    return (*(w for w in doubled if w < max_candidates), max_candidates)


def pad_requests(
    requests: Sequence[Mapping[str, np.ndarray]],
    columns: Sequence[Column],
    widths: Mapping[str, int] | None = None,
) -> dict[str, np.ndarray]:
    """Stacks checked requests, padded to the longest with 0 or "".

    `widths` has the least width by length column. No axis is empty: a server
    that pads requests to a common width cannot pad from nothing.
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


def is_batch(request: Any) -> bool:
    """Returns whether columns have a batch axis: then lengths are lists."""
    return (
        isinstance(request, Mapping)
        and _num_rows(request.get("num_candidates")) is not None
    )


def split_batch(
    batch: Mapping[str, Any], schema: Schema
) -> list[dict[str, Any]]:
    """Cuts a padded batch, with its lengths, into its unpadded requests.

    Columns that are not served are left out if the schema knows them.
    """
    num_requests = len(batch["num_candidates"])
    ragged = {c.name: c for c in schema.columns() if c.ragged}
    served = {c.name for c in schema.columns(*SERVING_ROLES)}
    requests: list[dict[str, Any]] = [{} for _ in range(num_requests)]
    for name, values in batch.items():
        if _num_rows(values) != num_requests:
            raise DataError(
                f"batch: column `{name}` must have {num_requests} rows like "
                "`num_candidates`"
            )
        for row, value in enumerate(values):
            if name not in ragged:
                requests[row][name] = value
            elif name in served:
                requests[row][name] = _cut(ragged[name], value, batch, row)
    return requests


def cut_slices(
    request: Mapping[str, np.ndarray], schema: Schema, slice_size: int
) -> list[dict[str, np.ndarray]]:
    """Cuts a checked request into requests of fewer candidates, in order."""
    columns = [c.name for c in schema.columns(Role.CANDIDATE) if c.ragged]
    columns = [name for name in columns if name in request]
    slices: list[dict[str, np.ndarray]] = []
    for start in range(0, int(request["num_candidates"]), slice_size):
        part = {n: request[n][start : start + slice_size] for n in columns}
        count = np.asarray(len(part["item_id"]), np.int32)
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
