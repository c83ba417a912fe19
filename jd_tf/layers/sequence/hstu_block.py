"""One causal block of pointwise attention, gated."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from jd_tf.layers.base_layer import BaseLayer
from jd_tf.layers.checks import check_heads, check_int, check_rate
from jd_tf.layers.masking import attention_mask, length_mask
from jd_tf.layers.sequence.attention_heads import merge_heads, split_heads
from jd_tf.layers.sequence.event_times import age_bucket, seconds_between
from jd_tf.layers.sequence.kept_events import join_events


@keras.saving.register_keras_serializable(package="jd_tf")
class HSTUBlock(BaseLayer):
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
        outputs, _ = self.extend(
            inputs, event_time, length, length, training=training
        )
        return outputs

    def extend(
        self,
        inputs: Any,
        event_time: Any,
        length: Any,
        total_length: Any,
        kept: Mapping[str, Any] | None = None,
        window: int = 0,
        training: bool | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """Encodes new events, given what was kept of older ones.

        Args:
            inputs: (B, K, D) float. New events, newest first.
            event_time: (B, L) int64. Of all events, the new ones first.
            length: (B,) integer. Real new events.
            total_length: (B,) integer. Real events, the older ones too.
            kept: `keys` and `values` (B, H, L', D / H) of the older events.
            window: events that are kept at most; 0 for all.
            training: whether dropout is active.

        Returns:
            Encoded new events (B, K, D), and `keys` and `values` of all.
        """
        count = ops.shape(inputs)[1]
        gates, queries, *new = self._project(inputs)
        old = (kept["keys"], kept["values"]) if kept else (None, None)
        keys, values = (
            join_events(part, length, old_part, 2, window)
            for part, old_part in zip(new, old, strict=True)
        )
        mask = attention_mask(total_length, ops.shape(keys)[2], causal=True)
        weights = self._weights(
            ops.matmul(queries, ops.transpose(keys, (0, 1, 3, 2))),
            event_time[:, :count],
            event_time,
            mask[:, :, :count],
        )
        read = ops.matmul(weights, values)
        outputs = self._gated(inputs, read, gates, training)
        return outputs, {"keys": keys, "values": values}

    def read(
        self,
        inputs: Any,
        time: Any,
        keys: Any,
        values: Any,
        event_time: Any,
        length: Any,
        training: bool | None = None,
    ) -> Any:
        """Encodes candidates as if each were the newest event.

        They attend to themselves and to the kept events, neither to each
        other nor the events to them.

        Args:
            inputs: (B, N, D) float. Candidates.
            time: (B,) int64. Of the request.
            keys: (B, H, L, D / H) float, of `extend`.
            values: likewise.
            event_time: (B, L) int64. Of the kept events.
            length: (B,) integer. Real events of them.
            training: whether dropout is active.

        Returns:
            (B, N, D) float.
        """
        gates, queries, own_keys, own_values = self._project(inputs)
        own = ops.sum(queries * own_keys, axis=-1, keepdims=True)
        keys = ops.cast(keys, self.compute_dtype)
        scores = ops.matmul(queries, ops.transpose(keys, (0, 1, 3, 2)))
        times = ops.concatenate([time[:, None], event_time], axis=1)
        weights = self._weights(
            ops.concatenate([own, scores], axis=-1),
            time[:, None],
            times,
            length_mask(length + 1, ops.shape(times)[1])[:, None, None],
        )
        read = weights[..., :1] * own_values
        values = ops.cast(values, self.compute_dtype)
        read += ops.matmul(weights[..., 1:], values)
        return self._gated(inputs, read, gates, training)

    def _project(self, inputs: Any) -> list[Any]:
        """(B, L, D) to gates, queries, keys and values, (B, H, L, D / H)."""
        return split_heads(
            self.projection(self.norm(inputs)), self.num_heads, 4
        )

    def _weights(self, scores: Any, later: Any, earlier: Any, mask: Any) -> Any:
        """Adds what places and times tell to scores (B, H, K, L)."""
        count, width = ops.shape(later)[1], ops.shape(earlier)[1]
        distance = ops.arange(width) - ops.arange(count)[:, None]
        distance = ops.clip(distance, 0, self.max_length - 1)
        table = ops.cast(self.distance_scores, scores.dtype)
        scores += ops.take(table, distance, axis=1)
        if self.num_age_buckets:
            seconds = seconds_between(earlier[:, None], later[:, :, None])
            bucket = age_bucket(seconds, self.num_age_buckets)
            table = ops.cast(self.age_scores, scores.dtype)
            scores += ops.stack(
                [ops.take(row, bucket) for row in ops.unstack(table)], axis=1
            )
        weights = ops.silu(scores) / self.max_length
        return ops.where(mask, weights, 0.0)

    def _gated(
        self, inputs: Any, read: Any, gates: Any, training: bool | None
    ) -> Any:
        read = self.attended_norm(merge_heads(read)) * merge_heads(gates)
        added = self.dropout(self.output_layer(read), training=training)
        return ops.cast(inputs, added.dtype) + added

    def compute_output_shape(
        self, inputs_shape: tuple, event_time_shape: tuple | None = None
    ) -> tuple:
        return tuple(inputs_shape)
