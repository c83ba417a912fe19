"""The cells of a padded batch that are real, as one list."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from jd_tf.layers.masking import length_mask


class RealCells:
    """Picks the events or candidates of a batch that are no padding.

    A batch is as wide as its longest request. What treats every cell alike
    need not compute the others: it takes each real cell as a request of its
    own, with one candidate.

    Args:
        length: (B,) integer. Real cells of each request.
        width: int. Cells L of a request.

    Example:
    >>> cells = RealCells(np.array([2, 1]), 2)
    >>> packed = cells.pack(np.array([[3.0, 4.0], [5.0, 0.0]]))
    >>> print(packed.numpy().tolist(), cells.unpack(packed).numpy().tolist())
    [[3.0], [4.0], [5.0]] [[3.0, 4.0], [5.0, 0.0]]
    """

    def __init__(self, length: Any, width: Any):
        mask = length_mask(length, width)
        self._length = length
        self._shape = ops.shape(mask)
        self._index = tf.where(mask)

    def pack(self, cells: Any) -> Any:
        """Returns the real cells of (B, L, ...), (M, 1, ...)."""
        return tf.gather_nd(cells, self._index)[:, None]

    def requests(self, values: Any) -> Any:
        """Returns for each real cell the row (...) of its request, (M, ...)."""
        return tf.gather(values, self._index[:, 0])

    def unpack(self, packed: Any) -> Any:
        """Returns (B, L, ...) of (M, 1, ...), zero where padding is."""
        shape = (*self._shape, *packed.shape[2:])
        return tf.scatter_nd(self._index, packed[:, 0], shape)

    def mean(self, packed: Any) -> Any:
        """Returns the mean (B, D) of each request's cells (M, 1, D), or 0."""
        requests, count = self._index[:, 0], self._shape[0]
        total = tf.math.unsorted_segment_sum(packed[:, 0], requests, count)
        length = ops.cast(ops.maximum(self._length, 1), total.dtype)
        return total / length[:, None]


def compute_real(
    function: Callable[..., Any], length: Any, training: bool, *cells: Any
) -> Any:
    """Returns a function of cells; while training, of the real ones alone.

    Args:
        function: of tensors, or lists or dicts of such; each cell by itself.
        length: (B,) integer. Real cells of each request.
        training: whether padding is left out: there the result is zero.
        *cells: arguments of the function, (B, L, ...), or None; the first is
            a tensor or has one.
    """
    if not training:
        return function(*cells)
    width = ops.shape(keras.tree.flatten(cells)[0])[1]
    real = RealCells(length, width)
    packed = keras.tree.map_structure(
        lambda one: None if one is None else real.pack(one), cells
    )
    return real.unpack(function(*packed))
