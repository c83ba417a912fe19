"""Candidates in slices of few widths."""

from collections.abc import Mapping, Sequence

import numpy as np

from jd_tf.schema import Column, Schema
from jd_tf.serving.batching import pad_requests
from jd_tf.serving.client.errors import RequestError

_SMALLEST = 16


def default_buckets(largest: int) -> tuple[int, ...]:
    """Widths that double up to the largest: at most half is padding."""
    widths = []
    width = _SMALLEST
    while width < largest:
        widths.append(width)
        width *= 2
    return (*widths, largest)


def check_buckets(
    buckets: Sequence[int] | None, slice_size: int, schema: Schema
) -> tuple[int, ...]:
    """Ascending widths that end with the slice size; () for exact widths.

    Raises:
        RequestError: if they do not, or are beyond the schema.
    """
    if not 1 <= slice_size <= schema.max_candidates:
        raise RequestError(
            f"`slice_size` must be from 1 to {schema.max_candidates}, which "
            f"the schema allows. Got: {slice_size}."
        )
    if buckets is None:
        return default_buckets(slice_size)
    buckets = tuple(buckets)
    ascending = all(a < b for a, b in zip((0, *buckets), buckets, strict=False))
    if buckets and not (ascending and buckets[-1] == slice_size):
        raise RequestError(
            f"`buckets` must ascend to `slice_size` ({slice_size}). Got: "
            f"{buckets}."
        )
    return buckets


def cut_slices(
    request: Mapping[str, np.ndarray],
    columns: Sequence[Column],
    slice_size: int,
    buckets: Sequence[int],
) -> list[tuple[dict[str, np.ndarray], int]]:
    """Cuts the candidates of a request.

    Args:
        request: checked, unpadded, with candidates.
        columns: the candidates', `num_candidates` among them.
        slice_size: candidates of a slice at most.
        buckets: widths that slices are padded to; () for none.

    Returns:
        Inputs, B = 1, and the number of real candidates of each slice.
    """
    slices = []
    for start in range(0, int(request["num_candidates"]), slice_size):
        part = {
            column.name: request[column.name][start : start + slice_size]
            for column in columns
            if column.ragged
        }
        count = len(part["item_id"])
        part["num_candidates"] = np.int32(count)
        width = next((b for b in buckets if b >= count), count)
        widths = {"num_candidates": width}
        slices.append((pad_requests([part], columns, widths), count))
    return slices
