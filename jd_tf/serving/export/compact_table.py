"""A table of vectors that takes less memory than it was trained in."""

from typing import Any

import numpy as np
import tensorflow as tf

from jd_tf.serving.export.row_quantization import quantize_rows

STORAGES = ("float32", "bfloat16", "float16", "int8")


class CompactTable(tf.Module):
    """Keeps vectors in few bytes and gives rows of them back as float32.

    Only the rows asked for are restored, by ops that every stock TensorFlow
    server has: a gather, a cast, and for `int8` a product with the row's
    scale.

    Args:
        table: (V, D) float32.
        storage: one of `STORAGES`; `int8` keeps one byte a value and four a
            row.
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
