"""Splits vectors into attention heads, and merges the heads again.

By split and stack, not by transpose: oneDNN, which TensorFlow switches on
by default on many processors, runs transposes itself and takes ten times as
long for those as small as a request's.
"""

from typing import Any

from keras import ops


def split_heads(vectors: Any, num_heads: int, num_parts: int = 1) -> list[Any]:
    """Splits (B, L, P * H * D), P parts side by side, into P (B, H, L, D)."""
    heads = ops.split(vectors, num_parts * num_heads, axis=-1)
    starts = range(0, len(heads), num_heads)
    return [ops.stack(heads[s : s + num_heads], axis=1) for s in starts]


def merge_heads(vectors: Any) -> Any:
    """Concatenates the heads of (B, H, L, D) to (B, L, H * D)."""
    return ops.concatenate(ops.unstack(vectors, axis=1), axis=-1)
