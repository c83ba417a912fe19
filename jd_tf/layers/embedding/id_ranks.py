"""Places of frequent ids in their own order, for trees."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from jd_tf.layers.base_layer import BaseLayer
from jd_tf.layers.checks import check_id_dtype, check_int
from jd_tf.layers.embedding.id_keys import UNUSED, find_rows, id_keys


@keras.saving.register_keras_serializable(package="jd_tf")
class IdRanks(BaseLayer):
    """Numbers the most frequent ids of a column from 0, in ascending order.

    Boosted trees split numbers, and shops number like categories alike: what
    stands side by side in their order is often of one kind. Texts come in the
    order of their hashes, which tells no more than one from another.

    Args:
        num_ids: int. Ids that get a number; all others are -1.
        id_dtype: str. `"int64"` or `"string"`.

    Call arguments:
        ids: raw ids of any shape; 0 and the empty string are padding.

    Returns:
        Shape of the ids and an axis of one, float.

    Raises:
        ValueError: an argument out of range, or ids of another dtype.

    Example:
        >>> layer = IdRanks(num_ids=2)
        >>> layer.adapt(np.array([30, 10, 10, 30, 20]))
        >>> layer(np.array([10, 20, 30])).numpy().tolist()
        [[0.0], [-1.0], [1.0]]
    """

    def __init__(
        self, num_ids: int = 250, id_dtype: str = "int64", **kwargs: Any
    ):
        super().__init__(**{**kwargs, "autocast": False})
        self.num_ids = check_int("num_ids", num_ids, 1)
        self.id_dtype = check_id_dtype(id_dtype)
        self.supports_jit = False

    def build(self, ids_shape: Any = None) -> None:
        self.keys = self.add_weight(
            (self.num_ids,),
            lambda shape, dtype: tf.fill(shape, tf.constant(UNUSED, dtype)),
            dtype="int64",
            trainable=False,
            autocast=False,
            name="keys",
        )

    def adapt(self, ids: Any) -> None:
        """Keeps the most frequent ids; of equally frequent ones the least.

        Args:
            ids: raw ids of any shape. Padding is ignored.
        """
        if not self.built:
            self.build()
        keys = id_keys(ids, self.id_dtype, self.name).numpy()
        known, counts = np.unique(keys[keys != 0], return_counts=True)
        most = np.argsort(-counts, kind="stable")[: self.num_ids]
        kept = np.full(self.num_ids, UNUSED)
        kept[: len(most)] = np.sort(known[most])
        self.keys.assign(kept)

    def call(self, ids: Any) -> Any:
        keys = id_keys(ids, self.id_dtype, self.name)
        rows, known = find_rows(self.keys, keys)
        ranks = tf.where(known, rows, -1)[..., tf.newaxis]
        return tf.cast(ranks, self.compute_dtype)

    def compute_output_shape(self, ids_shape: tuple) -> tuple:
        return (*ids_shape, 1)
