"""One pre-norm block of self-attention and feed-forward."""

import math
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from jd_tf.layers.base_layer import BaseLayer
from jd_tf.layers.checks import check_heads, check_int, check_rate
from jd_tf.layers.masking import (
    MASKED_SCORE,
    attention_mask,
    length_mask,
    softmax,
)
from jd_tf.layers.sequence.attention_heads import merge_heads, split_heads
from jd_tf.layers.sequence.kept_events import join_events


@keras.saving.register_keras_serializable(package="jd_tf")
class TransformerBlock(BaseLayer):
    """Self-attention over the real events, then a feed-forward part.

    x = x + attention(norm(x)); x = x + feedforward(norm(x)). Normalising
    before each part keeps a straight path for gradients, so no warm-up is
    needed. Queries, keys and values are one matrix product, and all dense
    work runs on the flattened (B * L, D) matrix, whose weight gradients are
    single products too.

    Args:
        num_heads: int. Attention heads; divides D.
        feedforward_dim: int. Inner width of the feed-forward part.
        dropout_rate: float. Dropout after attention and after feed-forward.
        activation: str or callable. Of the inner feed-forward layer.
        causal: bool. Whether an event attends to itself and older ones only.
        num_distances: int. Places between two events that each head has a
            learned score for, the last one for all further ones; 0 for none.

    Call arguments:
        inputs: (B, L, D) float. Events; padding may hold anything finite.
        length: (B,) integer. Real events.
        training: bool. Whether dropout is active.

    Returns:
        (B, L, D) float. Padding is meaningless in the output too, and no
        real event depends on it.

    Raises:
        ValueError: an argument out of range, or D no multiple of
            `num_heads`.

    Example:
        >>> layer = TransformerBlock(num_heads=2, feedforward_dim=16)
        >>> layer(np.ones((2, 5, 8)), np.array([5, 3])).shape
        TensorShape([2, 5, 8])

    References:
        On Layer Normalization in the Transformer Architecture. Xiong et al.,
        ICML 2020.
    """

    def __init__(
        self,
        num_heads: int,
        feedforward_dim: int,
        dropout_rate: float = 0.0,
        activation: Any = "gelu",
        causal: bool = False,
        num_distances: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_heads = check_int("num_heads", num_heads, 1)
        self.feedforward_dim = check_int("feedforward_dim", feedforward_dim, 1)
        self.dropout_rate = check_rate("dropout_rate", dropout_rate)
        self.activation = keras.activations.get(activation)
        self.causal = causal
        self.num_distances = check_int("num_distances", num_distances, 0)

    def build(self, inputs_shape: tuple):
        dim = inputs_shape[-1]
        check_heads(dim, self.num_heads, "`inputs`")
        flat = (None, dim)
        norm = keras.layers.LayerNormalization
        self.attention_norm = self.add_part(
            norm, "attention_norm", flat, epsilon=1e-6
        )
        # One product for three projections, but each initialised as itself.
        fan_in = keras.initializers.VarianceScaling(
            mode="fan_in", distribution="uniform"
        )
        self.query_key_value = self.add_dense(
            "query_key_value", dim, 3 * dim, kernel_initializer=fan_in
        )
        self.attention_output = self.add_dense("attention_output", dim, dim)
        self.feedforward_norm = self.add_part(
            norm, "feedforward_norm", flat, epsilon=1e-6
        )
        inner = self.feedforward_dim
        self.feedforward_inner = self.add_dense(
            "feedforward_inner", dim, inner, activation=self.activation
        )
        self.feedforward_output = self.add_dense(
            "feedforward_output", inner, dim
        )
        self.dropout = self.add_part(
            keras.layers.Dropout, "dropout", flat, self.dropout_rate
        )
        if self.num_distances:
            self.distance_scores = self.add_weight(
                (self.num_heads, self.num_distances),
                "zeros",
                name="distance_scores",
            )

    def call(
        self, inputs: Any, length: Any, training: bool | None = None
    ) -> Any:
        max_length, dim = ops.shape(inputs)[1], inputs.shape[-1]
        mask = attention_mask(length, max_length, self.causal)
        flat = ops.reshape(inputs, (-1, dim))
        flat = self.transform(flat, mask, max_length, training=training)
        return ops.reshape(flat, (-1, max_length, dim))

    def transform(
        self,
        flat: Any,
        mask: Any,
        max_length: Any,
        training: bool | None = None,
    ) -> Any:
        """Does the work of `call` on events as one matrix (B * L, D).

        So a stack of blocks shapes its events once, and masks them once, by
        `attention_mask`.
        """
        queries, keys, values = self._project(flat, max_length)
        attended = self._attend(queries, keys, values, mask)
        return self._add(flat, attended, training)

    def extend(
        self,
        inputs: Any,
        length: Any,
        kept: Mapping[str, Any] | None = None,
        kept_length: Any = 0,
        window: int = 0,
        training: bool | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """Encodes new events, given what was kept of older ones.

        In a causal block that is all of `call` but for the older events,
        which do not change.

        Args:
            inputs: (B, K, D) float. New events, newest first.
            length: (B,) integer. Real events of them.
            kept: `keys` and `values` (B, H, L, D / H) of the older events;
                None for a history that begins, in a block of any kind.
            kept_length: (B,) integer. Real events of those.
            window: events that are kept at most; 0 for all.
            training: whether dropout is active.

        Returns:
            Encoded new events (B, K, D), and `keys` and `values` of all.
        """
        count, dim = ops.shape(inputs)[1], inputs.shape[-1]
        flat = ops.reshape(inputs, (-1, dim))
        queries, *new = self._project(flat, count)
        old = (kept["keys"], kept["values"]) if kept else (None, None)
        keys, values = (
            join_events(part, length, old_part, 2, window)
            for part, old_part in zip(new, old, strict=True)
        )
        width = ops.shape(keys)[2]
        mask = attention_mask(length + kept_length, width, self.causal)
        # Of all events only the new ones ask.
        mask = mask[:, :, :count] if self.causal else mask
        attended = self._attend(queries, keys, values, mask)
        flat = self._add(flat, attended, training)
        encoded = ops.reshape(flat, (-1, count, dim))
        return encoded, {"keys": keys, "values": values}

    def read(
        self,
        inputs: Any,
        keys: Any,
        values: Any,
        length: Any,
        training: bool | None = None,
    ) -> Any:
        """Encodes candidates as if each were the newest event.

        They attend to themselves and to the kept events, neither to each
        other nor the events to them.

        Args:
            inputs: (B, N, D) float. Candidates.
            keys: (B, H, L, D / H) float, of `extend`.
            values: likewise.
            length: (B,) integer. Real events of them.
            training: whether dropout is active.

        Returns:
            (B, N, D) float.
        """
        count, dim = ops.shape(inputs)[1], inputs.shape[-1]
        width = ops.shape(keys)[2]
        flat = ops.reshape(inputs, (-1, dim))
        queries, own_keys, own_values = self._project(flat, count)
        own = ops.sum(queries * own_keys, axis=-1, keepdims=True)
        keys = ops.cast(keys, self.compute_dtype)
        scores = ops.matmul(queries, ops.transpose(keys, (0, 1, 3, 2)))
        scores = ops.concatenate([own, scores], axis=-1)
        if self.num_distances:
            scores += self._distance_scores(1, width + 1, scores.dtype)
        mask = length_mask(length + 1, width + 1)[:, None, None]
        scores = ops.where(mask, ops.cast(scores, "float32"), MASKED_SCORE)
        weights = ops.cast(softmax(scores), self.compute_dtype)
        values = ops.cast(values, self.compute_dtype)
        attended = weights[..., :1] * own_values
        attended += ops.matmul(weights[..., 1:], values)
        attended = ops.reshape(merge_heads(attended), (-1, dim))
        flat = self._add(flat, attended, training)
        return ops.reshape(flat, (-1, count, dim))

    def _project(self, flat: Any, count: Any) -> list[Any]:
        """(B * L, D) to queries, keys and values, each (B, H, L, D / H)."""
        dim = flat.shape[-1]
        fused = self.query_key_value(self.attention_norm(flat))
        fused = ops.reshape(fused, (-1, count, 3 * dim))
        queries, keys, values = split_heads(fused, self.num_heads, 3)
        return [queries / math.sqrt(dim // self.num_heads), keys, values]

    def _attend(self, queries: Any, keys: Any, values: Any, mask: Any) -> Any:
        """Reads values (B, H, L, D / H) for K queries, to (B * K, D)."""
        dim = self.num_heads * queries.shape[-1]
        scores = ops.matmul(queries, ops.transpose(keys, (0, 1, 3, 2)))
        if self.num_distances:
            scores += self._distance_scores(
                ops.shape(queries)[2], ops.shape(keys)[2], scores.dtype
            )
        # Half precision has neither the range nor the digits for a softmax.
        # Not by a sum, as `hide_padding` does: oneDNN fuses it with this
        # product, and the fused operation takes nearly twice as long.
        scores = ops.where(mask, ops.cast(scores, "float32"), MASKED_SCORE)
        weights = ops.cast(softmax(scores), self.compute_dtype)
        return ops.reshape(merge_heads(ops.matmul(weights, values)), (-1, dim))

    def _add(self, flat: Any, attended: Any, training: bool | None) -> Any:
        """Adds what was read and the feed-forward part to (B * L, D)."""
        attended = self.attention_output(attended)
        flat += self.dropout(attended, training=training)
        hidden = self.feedforward_inner(self.feedforward_norm(flat))
        hidden = self.feedforward_output(hidden)
        return flat + self.dropout(hidden, training=training)

    def _distance_scores(self, count: Any, width: Any, dtype: Any) -> Any:
        """Returns the scores of `width` events for the first, (H, K, L)."""
        distance = ops.abs(ops.arange(width) - ops.arange(count)[:, None])
        distance = ops.minimum(distance, self.num_distances - 1)
        return ops.cast(ops.take(self.distance_scores, distance, axis=1), dtype)

    def compute_output_shape(self, inputs_shape: tuple) -> tuple:
        return tuple(inputs_shape)
