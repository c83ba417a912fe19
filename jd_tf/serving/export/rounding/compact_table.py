"""Tables of vectors that take less memory than they were trained in."""

from typing import Any

import numpy as np
import tensorflow as tf

LARGEST_CODE = 127
STORAGES = ("float32", "bfloat16", "float16", "int8")


class CompactTable(tf.Module):
    """A table of vectors in few bytes, whose rows are read as float32.

    Only the rows that are read are restored, by ops that every stock
    TensorFlow server has: a gather, a cast, and for `int8` a product with the
    row's scale.

    Args:
        table: (V, D) float32.
        storage: one of `STORAGES`; `int8` takes one byte a value and four a
            row.

    Raises:
        ValueError: if there is no such storage, or a value cannot be stored.
    """

    def __init__(self, table: np.ndarray, storage: str):
        super().__init__(name="compact_table")
        if storage not in STORAGES:
            raise ValueError(
                f"`storage` must be one of {STORAGES}. Got: {storage!r}."
            )
        self.storage = storage
        self.scales = None
        if storage == "int8":
            codes, scales = quantize_rows(table)
            self.scales = tf.Variable(scales, trainable=False, name="scales")
        else:
            codes = tf.cast(table, storage)
            if not np.isfinite(tf.cast(codes, tf.float32)).all():
                raise ValueError(f"a value of the table overflows {storage}.")
        self.codes = tf.Variable(codes, trainable=False, name="codes")

    def lookup(self, rows: Any) -> tf.Tensor:
        """Reads rows.

        Args:
            rows: any shape, integer.

        Returns:
            Shape of `rows` + (D,) float32.
        """
        vectors = tf.cast(tf.gather(self.codes, rows), tf.float32)
        if self.scales is None:
            return vectors
        return vectors * tf.gather(self.scales, rows)[..., None]


def quantize_rows(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rounds every row to whole numbers from -127 to 127 times its scale.

    Each row has a scale of its own: its largest value becomes 127, so a rare
    item's small vector is rounded as finely as a popular one's large one.

    Args:
        table: (V, D) float, finite.

    Returns:
        `codes` (V, D) int8 and `scales` (V,) float32, 0 for a row of zeros.
        A value is restored as `code * scale`, off by half a scale at most.

    Raises:
        ValueError: if a value is not finite.
    """
    table = np.asarray(table, np.float32)
    if not np.isfinite(table).all():
        row = int(np.flatnonzero(~np.isfinite(table).all(axis=1))[0])
        raise ValueError(f"row {row} of the table is not finite.")
    largest = np.abs(table).max(axis=1, initial=0.0)
    scales = (largest / LARGEST_CODE).astype(np.float32)
    # A scale may underflow to zero where a row is next to nothing.
    divisors = np.where(scales > 0, scales, np.float32(1.0))
    codes = np.rint(table / divisors[:, None])
    codes = np.clip(codes, -LARGEST_CODE, LARGEST_CODE)
    return codes.astype(np.int8), scales
