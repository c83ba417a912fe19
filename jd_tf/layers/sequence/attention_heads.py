"""Splits vectors into attention heads, and merges the heads again.

By split and stack, not by transpose: oneDNN, which TensorFlow switches on
by default on many processors, runs transposes itself and takes ten times as
long for those as small as a request's.
"""

from typing import Any

from keras import ops


def split_heads(vectors: Any, num_heads: int, num_parts: int = 1) -> list[Any]:
    """Splits vectors into heads, on an axis of their own.

    Args:
        vectors: (B, L, P * H * D) float: P parts side by side, such as
            queries, keys and values.
        num_heads: H.
        num_parts: P.

    Returns:
        P of (B, H, L, D) float.
    """
    heads = ops.split(vectors, num_parts * num_heads, axis=-1)
    starts = range(0, len(heads), num_heads)
    return [ops.stack(heads[s : s + num_heads], axis=1) for s in starts]


def merge_heads(vectors: Any) -> Any:
    """Concatenates the heads of each vector; inverse of `split_heads`.

    Args:
        vectors: (B, H, L, D) float.

    Returns:
        (B, L, H * D) float.
    """
    return ops.concatenate(ops.unstack(vectors, axis=1), axis=-1)
