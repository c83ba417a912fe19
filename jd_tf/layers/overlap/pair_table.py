"""Neighbours of items: a frozen table of another job."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from jd_tf.layers.base_layer import BaseLayer
from jd_tf.layers.checks import check_id_dtype, check_int
from jd_tf.layers.embedding.id_keys import UNUSED, find_rows, id_keys


@keras.saving.register_keras_serializable(package="jd_tf")
class PairTable(BaseLayer):
    """Looks up the neighbours of items, and how strong each pair is.

    Another job counts pairs (items visited one after the other, for
    instance), of one or several kinds; `assign` replaces them whenever it has
    run again, and no gradient does. Rows have as many neighbours as the job
    found, not a fixed number. Ids are kept, not hashed into rows, see
    `VectorTable`.

    A training example must not see its own event, nor later ones.
    `assign_parts` therefore takes a table of each part of the training data
    that was counted without it; they are no weights, so that no checkpoint or
    SavedModel has them.

    Args:
        num_rows: int. Items that it has room for.
        num_pairs: int. Pairs that it has room for, all kinds together.
        num_kinds: int. Kinds of pairs.
        id_dtype: str. `"int64"` or `"string"`.

    Call arguments:
        keys: (B, E) int64. Items, of `keys_of`; 0 is none.
        part: (B,) integer, the table of `assign_parts` to read, or None.
        kind: int. Kind of pairs.

    Returns:
        Keys of the neighbours (B, E, K) int64, ascending, and weights
        (B, E, K) float32, 0 in padding. K is the largest number of
        neighbours that an item of the batch has, at least 1.

    Raises:
        ValueError: an argument out of range, or a part without tables.

    Example:
        >>> layer = PairTable(num_rows=2, num_pairs=3)
        >>> layer.assign([7, 9], [[0, 2, 3]], [8, 9, 7], [0.5, 1.0, 0.25])
        >>> neighbors, weights = layer(np.array([[7, 8]]))
        >>> weights.numpy().tolist()
        [[[0.5, 1.0], [0.0, 0.0]]]
    """

    def __init__(
        self,
        num_rows: int,
        num_pairs: int,
        num_kinds: int = 1,
        id_dtype: str = "int64",
        **kwargs,
    ):
        super().__init__(**{**kwargs, "autocast": False})
        self.num_rows = check_int("num_rows", num_rows, 1)
        self.num_pairs = check_int("num_pairs", num_pairs, 1)
        self.num_kinds = check_int("num_kinds", num_kinds, 1)
        self.id_dtype = check_id_dtype(id_dtype)
        self.supports_jit = False
        self._parts: Any = None

    def build(self, keys_shape: tuple | None = None, **_: Any):
        def add(name: str, shape: tuple, dtype: str, start: int) -> Any:
            return self.add_weight(
                shape,
                lambda shape, dtype: tf.fill(shape, tf.constant(start, dtype)),
                dtype=dtype,
                trainable=False,
                name=name,
            )

        starts = (self.num_kinds, self.num_rows + 1)
        self.keys = add("keys", (self.num_rows,), "int64", UNUSED)
        self.starts = add("starts", starts, "int64", 0)
        self.neighbors = add("neighbors", (self.num_pairs,), "int64", UNUSED)
        self.pair_weights = add("weights", (self.num_pairs,), "float32", 0)

    def assign(
        self, keys: Any, starts: Any, neighbors: Any, weights: Any
    ) -> None:
        """Replaces the content of the table.

        Args:
            keys: (R,) int64, ascending; R at most `num_rows`.
            starts: (kinds, R + 1) integer. Row r of a kind has the pairs
                `starts[kind, r]` to `starts[kind, r + 1]`, exclusive.
            neighbors: (P,) int64, keys, ascending within a row; P at most
                `num_pairs`.
            weights: (P,) float >= 0, finite.

        Raises:
            ValueError: too many, a wrong shape, or keys out of order.
        """
        keys, neighbors = np.asarray(keys), np.asarray(neighbors)
        starts = self._checked(keys, starts, neighbors, weights)
        if not self.built:
            self.build()
        room = (0, self.num_pairs - len(neighbors))
        rows = (0, self.num_rows - len(keys))
        self.keys.assign(np.pad(keys, rows, constant_values=UNUSED))
        self.starts.assign(starts)
        self.neighbors.assign(np.pad(neighbors, room, constant_values=UNUSED))
        self.pair_weights.assign(np.pad(weights, room))

    def assign_parts(self, starts: Any, neighbors: Any, weights: Any) -> None:
        """Sets the tables that training reads; the keys stay.

        Args:
            starts: (parts, kinds, R + 1) integer.
            neighbors: as of `assign`, of all parts one after the other.
            weights: likewise.
        """
        keys = self.keys.numpy()
        keys = keys[keys != UNUSED]
        starts = np.stack(
            [self._checked(keys, s, neighbors, weights, False) for s in starts]
        )
        with tf.init_scope():
            self._parts = _Pairs(
                tf.constant(starts, tf.int64),
                # One more: an empty table cannot be gathered from.
                tf.constant(np.append(neighbors, UNUSED), tf.int64),
                tf.constant(np.append(weights, 0.0), tf.float32),
            )

    def _checked(
        self,
        keys: np.ndarray,
        starts: Any,
        neighbors: Any,
        weights: Any,
        limited: bool = True,
    ) -> np.ndarray:
        """Returns `starts` of all rows there is room for."""
        starts, count = np.asarray(starts), len(neighbors)
        problem = ""
        if len(keys) > self.num_rows or (limited and count > self.num_pairs):
            problem = (
                f"has room for {self.num_rows} items and {self.num_pairs} "
                f"pairs. Got: {len(keys)} and {count}"
            )
        elif starts.shape != (self.num_kinds, len(keys) + 1):
            shape = (self.num_kinds, len(keys) + 1)
            problem = f"takes {shape} starts. Got: {starts.shape}"
        elif (np.diff(keys) <= 0).any() or (len(keys) and keys[-1] == UNUSED):
            problem = "takes keys in ascending order, each once"
        elif (np.diff(starts) < 0).any() or not (
            starts.min() >= 0 and starts.max() <= count == len(weights)
        ):
            problem = "got starts and pairs that do not fit each other"
        elif not (
            np.isfinite(weights).all() and np.min(weights, initial=0) >= 0
        ):
            problem = "takes finite weights >= 0"
        if problem:
            raise ValueError(f"Layer {self.name!r} {problem}.")
        rows = (0, self.num_rows - len(keys))
        return np.pad(starts, ((0, 0), rows), mode="edge")

    def keys_of(self, ids: Any) -> Any:
        """Returns the int64 keys that raw ids are kept as, 0 for padding."""
        return id_keys(ids, self.id_dtype, self.name)

    def call(self, keys: Any, part: Any = None, kind: int = 0) -> tuple:
        rows, present = find_rows(self.keys.value, keys)
        rows = tf.cast(rows, "int64") + kind * (self.num_rows + 1)
        # `.value` is the tf.Variable: only what is found is read.
        table: Any = self._parts
        if part is None:
            table = _Pairs(
                self.starts.value, self.neighbors.value, self.pair_weights.value
            )
        elif table is None:
            raise ValueError(
                f"Layer {self.name!r} has no tables of the parts of the "
                "training data: call `assign_parts` before training."
            )
        else:
            rows += tf.cast(part, "int64")[:, None] * (
                self.num_kinds * (self.num_rows + 1)
            )
        starts = tf.reshape(table.starts, [-1])
        start = tf.gather(starts, rows)
        count = tf.gather(starts, rows + 1) - start
        count = tf.where(present, count, 0)
        places = tf.range(tf.maximum(tf.reduce_max(count), 1))
        real = places < count[..., None]
        at = tf.where(real, start[..., None] + places, 0)
        neighbors = tf.where(real, tf.gather(table.neighbors, at), UNUSED)
        weights = tf.where(real, tf.gather(table.weights, at), 0.0)
        return neighbors, weights

    def compute_output_spec(
        self, keys: Any, part: Any = None, kind: int = 0
    ) -> tuple:
        shape = (*keys.shape, None)
        return (
            keras.KerasTensor(shape, dtype="int64"),
            keras.KerasTensor(shape, dtype="float32"),
        )


class _Pairs:
    """Pairs of rows, as `PairTable.assign` takes them.

    A plain object: Keras and TensorFlow would track a tuple's content.
    """

    def __init__(self, starts: Any, neighbors: Any, weights: Any):
        self.starts = starts
        self.neighbors = neighbors
        self.weights = weights
