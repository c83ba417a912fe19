"""One causal block of pointwise attention, gated."""

from typing import Any

import keras
from keras import ops

from jd_tf.layers.checks import check_heads, check_int, check_rate
from jd_tf.layers.sequence.attention_block import AttentionBlock
from jd_tf.layers.sequence.attention_heads import merge_heads, split_heads
from jd_tf.layers.sequence.event_times import age_bucket, seconds_between


@keras.saving.register_keras_serializable(package="jd_tf")
class HSTUBlock(AttentionBlock):
    """Aggregates older events by weights that are no softmax, and gates them.

        [u, v, q, k] = silu(W norm(x))
        a_ij = silu(q_i k_j + p(j - i) + t(time_i - time_j)) / max_length
        y_i = x_i + W' (norm(sum over j >= i of a_ij v_j) * u_i)

    p and t are learned scores of each head, of the places between two events
    and of a logarithmic bucket of the seconds between them. The weights keep
    how strong a preference is, which a softmax would lose, and the gate does
    the work of a feed-forward part. Only differences of places and times are
    read, so kept events stay as they are when new ones come.

    Args:
        num_heads: int. Attention heads; divides D.
        max_length: int. Longest history: the divisor of weights, and the
            places that have a score of their own.
        num_age_buckets: int. Buckets of seconds; 0 does not read times.
        dropout_rate: float. Dropout of what is added to x.

    Call arguments:
        inputs: (B, L, D) float. Events, newest first; padding may hold
            anything finite.
        event_time: (B, L) int64, seconds.
        length: (B,) integer. Real events.
        training: bool. Whether dropout is active.

    Returns:
        (B, L, D) float. Padding is meaningless in the output too.

    Raises:
        ValueError: an argument out of range, or D no multiple of `num_heads`.

    Example:
        >>> events, times = np.ones((1, 3, 8)), np.array([[90, 60, 0]])
        >>> layer = HSTUBlock(num_heads=2, max_length=3)
        >>> layer(events, times, np.array([3])).shape
        TensorShape([1, 3, 8])

    References:
        Actions Speak Louder than Words: Trillion-Parameter Sequential
        Transducers for Generative Recommendations. Zhai et al., ICML 2024
        (equations 1 to 3).
    """

    def __init__(
        self,
        num_heads: int,
        max_length: int,
        num_age_buckets: int = 32,
        dropout_rate: float = 0.0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.causal = True
        self.num_heads = check_int("num_heads", num_heads, 1)
        self.max_length = check_int("max_length", max_length, 1)
        self.num_age_buckets = check_int("num_age_buckets", num_age_buckets, 0)
        self.dropout_rate = check_rate("dropout_rate", dropout_rate)

    def build(
        self, inputs_shape: tuple, event_time_shape: tuple | None = None
    ) -> None:
        dim, flat = inputs_shape[-1], (None, inputs_shape[-1])
        check_heads(dim, self.num_heads, "`inputs`")
        norm = keras.layers.LayerNormalization
        self.norm = self.add_part(norm, "norm", flat, epsilon=1e-6)
        # One product for four projections, each initialised as itself.
        fan_in = keras.initializers.VarianceScaling(
            mode="fan_in", distribution="uniform"
        )
        self.projection = self.add_dense(
            "projection",
            dim,
            4 * dim,
            activation="silu",
            kernel_initializer=fan_in,
        )
        self.attended_norm = self.add_part(
            norm, "attended_norm", flat, epsilon=1e-6
        )
        self.output_layer = self.add_dense("output_layer", dim, dim)
        self.dropout = self.add_part(
            keras.layers.Dropout, "dropout", flat, self.dropout_rate
        )
        self.distance_scores = self.add_weight(
            (self.num_heads, self.max_length), "zeros", name="distance_scores"
        )
        if self.num_age_buckets:
            self.age_scores = self.add_weight(
                (self.num_heads, self.num_age_buckets),
                "zeros",
                name="age_scores",
            )

    def call(
        self,
        inputs: Any,
        event_time: Any,
        length: Any,
        training: bool | None = None,
    ) -> Any:
        return self.extend(
            inputs, length, event_time=event_time, training=training
        )[0]

    def _project(self, inputs: Any) -> tuple[Any, Any, Any, Any]:
        fused = self.projection(self.norm(inputs))
        gates, queries, keys, values = split_heads(fused, self.num_heads, 4)
        return queries, keys, values, merge_heads(gates)

    def _weights(self, scores: Any, mask: Any, count: Any, times: Any) -> Any:
        places = ops.arange(ops.shape(scores)[3])
        distance = places - ops.arange(count)[:, None]
        distance = ops.clip(distance, 0, self.max_length - 1)
        table = ops.cast(self.distance_scores, scores.dtype)
        scores += ops.take(table, distance, axis=1)
        if self.num_age_buckets:
            later, earlier = times
            seconds = seconds_between(earlier[:, None], later[:, :, None])
            bucket = age_bucket(seconds, self.num_age_buckets)
            rows = ops.unstack(ops.cast(self.age_scores, scores.dtype))
            ages = [ops.take(row, bucket) for row in rows]
            scores += ops.stack(ages, axis=1)
        return ops.where(mask, ops.silu(scores) / self.max_length, 0.0)

    def _add(self, inputs: Any, read: Any, gates: Any, training: Any) -> Any:
        added = self.output_layer(self.attended_norm(read) * gates)
        added = self.dropout(added, training=training)
        return ops.cast(inputs, added.dtype) + added

    def compute_output_shape(
        self, inputs_shape: tuple, event_time_shape: tuple | None = None
    ) -> tuple:
        return tuple(inputs_shape)
