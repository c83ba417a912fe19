"""Frozen vectors of another job, looked up by raw id."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from jd_tf.layers.base_layer import BaseLayer
from jd_tf.layers.checks import check_id_dtype, check_int
from jd_tf.layers.embedding.id_keys import UNUSED, find_rows, id_keys


@keras.saving.register_keras_serializable(package="jd_tf")
class VectorTable(BaseLayer):
    """Looks raw ids up in a table of frozen vectors, if they have one.

    The vectors (of images, for instance) come from another job and are
    replaced when it has run again: `assign` fills the table, no gradient
    ever does. Ids are kept, not hashed into rows, so two items never share a
    vector and an item without one is known to have none. Table rows are
    sorted by id and found by binary search; only these rows are read.

    Strings are kept as 63-bit hashes: among a million of them, two share one
    with a probability of about 5e-8, and then `assign` refuses them.

    Args:
        num_rows: int. Table rows: the most vectors it can hold.
        dim: int. Width V of a vector.
        id_dtype: str. `"int64"` or `"string"`.

    Call arguments:
        ids: any shape, int64 (int32 is widened) or string. Raw ids; 0 and
            the empty string are padding.

    Returns:
        Vectors, shape of `ids` + (V,) float, zero for padding and for ids
        that have none; and shape of `ids` bool, True where an id has one.

    Raises:
        ValueError: an argument out of range, or ids of another type.

    Example:
        >>> layer = VectorTable(num_rows=10, dim=2)
        >>> layer.assign([7, 12], [[1.0, 2.0], [3.0, 4.0]])
        >>> vectors, present = layer(np.array([12, 8]))
        >>> vectors.numpy().tolist(), present.numpy().tolist()
        ([[3.0, 4.0], [0.0, 0.0]], [True, False])
    """

    def __init__(
        self, num_rows: int, dim: int, id_dtype: str = "int64", **kwargs
    ):
        super().__init__(**kwargs)
        self.num_rows = check_int("num_rows", num_rows, 1)
        self.dim = check_int("dim", dim, 1)
        self.id_dtype = check_id_dtype(id_dtype)
        # XLA compares every id with every row instead of searching.
        self.supports_jit = False

    def build(self, ids_shape: tuple | None = None):
        self.keys = self.add_weight(
            (self.num_rows,),
            lambda shape, dtype: tf.fill(shape, tf.constant(UNUSED, dtype)),
            dtype="int64",
            trainable=False,
            name="keys",
        )
        # Without autocast, which would copy the whole table on every call.
        self.vectors = self.add_weight(
            (self.num_rows, self.dim),
            "zeros",
            trainable=False,
            autocast=False,
            name="vectors",
        )

    def assign(self, item_ids: Any, vectors: Any) -> None:
        """Replaces the content of the table.

        Not while another thread calls the layer, which could find new ids
        beside old vectors.

        Args:
            item_ids: (M,) raw ids, each once, M at most `num_rows`.
            vectors: (M, V) float, finite.

        Raises:
            ValueError: too many, a wrong shape, an id that is there twice
                or is padding, or a vector that is not finite.
        """
        item_ids, vectors = np.asarray(item_ids), np.asarray(vectors)
        count = len(item_ids)
        if count > self.num_rows:
            raise ValueError(
                f"Layer {self.name!r} has room for `num_rows`={self.num_rows} "
                f"vectors. Got: {count}."
            )
        if item_ids.ndim != 1 or vectors.shape != (count, self.dim):
            raise ValueError(
                f"Layer {self.name!r} takes (M,) ids and (M, {self.dim}) "
                f"vectors. Got: {item_ids.shape} and {vectors.shape}."
            )
        keys = self.keys_of(item_ids).numpy()
        order = np.argsort(keys)
        keys = keys[order]
        wrong = {
            "padding or out of range": order[keys == 0],
            "there twice": order[1:][keys[1:] == keys[:-1]],
            "without a finite vector": np.flatnonzero(
                ~np.isfinite(vectors).all(axis=1)
            ),
        }
        for what, places in wrong.items():
            if len(places):
                raise ValueError(
                    f"Layer {self.name!r} got an id that is {what}: "
                    f"{item_ids[places[0]]!r}."
                )
        if not self.built:
            self.build((None,))
        unused = (0, self.num_rows - count)
        self.keys.assign(np.pad(keys, unused, constant_values=UNUSED))
        self.vectors.assign(np.pad(vectors[order], (unused, (0, 0))))

    def filled(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the keys in use, ascending, and their vectors."""
        keys = self.keys.numpy()
        used = keys != UNUSED
        return keys[used], self.vectors.numpy()[used]

    def keys_of(self, ids: Any) -> Any:
        """Returns the int64 keys that raw ids are kept as, 0 for padding."""
        return id_keys(ids, self.id_dtype, self.name)

    def call(self, ids: Any) -> tuple:
        # `.value` is the tf.Variable: only the rows found are read.
        rows, present = find_rows(self.keys.value, self.keys_of(ids))
        vectors = self.gather(rows)
        vectors *= tf.cast(present, vectors.dtype)[..., None]
        return tf.cast(vectors, self.compute_dtype), present

    def gather(self, table_rows: Any) -> Any:
        """Reads these rows, as `IdEmbedding.gather` does."""
        return tf.nn.embedding_lookup(self.vectors.value, table_rows)

    def compute_output_shape(self, ids_shape: tuple) -> tuple:
        return (*ids_shape, self.dim), tuple(ids_shape)

    def compute_output_spec(self, ids: Any) -> tuple:
        vectors_shape, present_shape = self.compute_output_shape(ids.shape)
        return (
            keras.KerasTensor(vectors_shape, dtype=self.compute_dtype),
            keras.KerasTensor(present_shape, dtype="bool"),
        )
