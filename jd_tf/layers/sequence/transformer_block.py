"""One pre-norm block of self-attention and feed-forward."""

import math
from typing import Any

import keras
from keras import ops

from jd_tf.layers.checks import check_heads, check_int, check_rate
from jd_tf.layers.masking import MASKED_SCORE, softmax
from jd_tf.layers.sequence.attention_block import AttentionBlock
from jd_tf.layers.sequence.attention_heads import split_heads


@keras.saving.register_keras_serializable(package="jd_tf")
class TransformerBlock(AttentionBlock):
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
        return self.extend(inputs, length, training=training)[0]

    def _project(self, inputs: Any) -> tuple[Any, Any, Any, Any]:
        # Without an event, -1 cannot be told from the rest of a shape.
        rows, count, dim = ops.shape(inputs)
        flat = self.attention_norm(ops.reshape(inputs, (-1, dim)))
        fused = self.query_key_value(flat)
        fused = ops.reshape(fused, (rows, count, 3 * dim))
        queries, keys, values = split_heads(fused, self.num_heads, 3)
        scale = 1.0 / math.sqrt(dim // self.num_heads)
        return queries * scale, keys, values, None

    def _weights(self, scores: Any, mask: Any, count: Any, times: Any) -> Any:
        if self.num_distances:
            places = ops.arange(ops.shape(scores)[3])
            distance = ops.abs(places - ops.arange(count)[:, None])
            distance = ops.minimum(distance, self.num_distances - 1)
            table = ops.cast(self.distance_scores, scores.dtype)
            scores += ops.take(table, distance, axis=1)
        # Half precision has neither the range nor the digits for a softmax.
        # Not by a sum, as `hide_padding` does: oneDNN fuses it with this
        # product, and the fused operation takes nearly twice as long.
        scores = ops.where(mask, ops.cast(scores, "float32"), MASKED_SCORE)
        return ops.cast(softmax(scores), self.compute_dtype)

    def _add(self, inputs: Any, read: Any, gates: Any, training: Any) -> Any:
        rows, count, dim = ops.shape(inputs)
        attended = self.attention_output(ops.reshape(read, (-1, dim)))
        flat = ops.reshape(inputs, (-1, dim))
        flat += self.dropout(attended, training=training)
        hidden = self.feedforward_inner(self.feedforward_norm(flat))
        hidden = self.feedforward_output(hidden)
        flat += self.dropout(hidden, training=training)
        return ops.reshape(flat, (rows, count, dim))

    def compute_output_shape(self, inputs_shape: tuple) -> tuple:
        return tuple(inputs_shape)
