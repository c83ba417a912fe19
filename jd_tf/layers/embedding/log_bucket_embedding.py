"""Learned vectors of seconds and counts, by logarithmic buckets."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from jd_tf.layers.base_layer import BaseLayer
from jd_tf.layers.checks import check_int, check_positive


@keras.saving.register_keras_serializable(package="jd_tf")
class LogBucketEmbedding(BaseLayer):
    """Embeds seconds or counts by logarithmic buckets whose scale is learned.

    Number x has the position

        u = (K - 1) log(1 + x / s) / log(1 + m / s)

    between the edges 0 .. K - 1, where m is `max_value` and the scale s > 0
    is learned for every feature: a small s spends buckets on small numbers,
    a large one nearly divides the range evenly. The vector is the linear
    interpolation of the learned vectors of the two edges around u, so that
    the embedding is continuous and the scale gets a gradient, which whole
    buckets would not give it. A negative number or NaN means "unknown" and
    has a learned vector of its own: not measured is not the same as zero.

    Args:
        num_features: int. Features F, each with its own scale and table.
        embedding_dim: int. Width D of a feature's vector.
        num_buckets: int. Edges K, at least 2.
        max_value: float. This number and every greater one share the last
            edge.
        initial_scale: float. Start of every scale, in units of the inputs.

    Call arguments:
        inputs: (..., F) float. Numeric features. Pass float32: half precision
            overflows above 65,504.

    Returns:
        (..., F, D) float.

    Raises:
        ValueError: an argument out of range, or another number of features.

    Example:
        >>> layer = LogBucketEmbedding(num_features=2, embedding_dim=3)
        >>> layer(np.array([[120.0, -1.0]])).shape
        TensorShape([1, 2, 3])
    """

    def __init__(
        self,
        num_features: int,
        embedding_dim: int,
        num_buckets: int = 16,
        max_value: float = 1000.0,
        initial_scale: float = 1.0,
        **kwargs,
    ):
        # Keras would cast numbers to half precision, and so to infinity.
        super().__init__(**{**kwargs, "autocast": False})
        self.num_features = check_int("num_features", num_features, 1)
        self.embedding_dim = check_int("embedding_dim", embedding_dim, 1)
        self.num_buckets = check_int("num_buckets", num_buckets, 2)
        self.max_value = check_positive("max_value", max_value)
        self.initial_scale = check_positive("initial_scale", initial_scale)

    def build(self, inputs_shape: tuple):
        if inputs_shape[-1] != self.num_features:
            raise ValueError(
                f"Layer {self.name!r} takes {self.num_features} feature(s) on "
                f"the last axis. Got: {inputs_shape[-1]}."
            )
        self.log_scale = self.add_weight(
            (self.num_features,),
            keras.initializers.Constant(math.log(self.initial_scale)),
            name="log_scale",
        )
        self.bucket_table = self.add_weight(
            (self.num_features, self.num_buckets + 1, self.embedding_dim),
            keras.initializers.RandomUniform(-0.5, 0.5),
            name="bucket_table",
        )

    def _positions(self, numbers: Any) -> Any:
        """Returns places between the edges, [0, num_buckets - 1], float32."""
        # NaN compares as false, and so becomes 0 here.
        numbers = ops.where(numbers > 0.0, numbers, 0.0)
        numbers = ops.minimum(numbers, self.max_value)
        inverse = ops.exp(-ops.cast(self.log_scale, "float32"))
        logs = ops.log1p(numbers * inverse)
        return logs * (
            (self.num_buckets - 1) / ops.log1p(self.max_value * inverse)
        )

    def call(self, inputs: Any) -> Any:
        inputs = ops.cast(inputs, "float32")
        known = inputs >= 0.0
        place = self._positions(inputs)
        lower = ops.minimum(ops.floor(place), self.num_buckets - 2.0)
        share = ops.cast(place - lower, self.compute_dtype)[..., None]
        # Weights that are no numbers any more give no row to read.
        lower = ops.where(lower > 0.0, lower, 0.0)
        lower = ops.cast(lower, "int32")
        # The last table row is the vector of unknown numbers.
        last = self.num_buckets
        below = self._rows(ops.where(known, lower, last))
        above = self._rows(ops.where(known, lower + 1, last))
        return below + share * (above - below)

    def _rows(self, index: Any) -> Any:
        """Reads rows of the features' tables, (..., F) to (..., F, D)."""
        table = ops.cast(self.bucket_table, self.compute_dtype)
        table = ops.reshape(table, (-1, self.embedding_dim))
        first = (self.num_buckets + 1) * np.arange(self.num_features)
        return ops.take(table, index + first.astype("int32"), axis=0)

    def compute_output_shape(self, inputs_shape: tuple) -> tuple:
        return (*inputs_shape, self.embedding_dim)
