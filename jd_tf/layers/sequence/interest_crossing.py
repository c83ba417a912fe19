"""First-order and second-order interest of an encoded history."""

from typing import Any

import keras
from keras import ops

from jd_tf.layers.base_layer import BaseLayer
from jd_tf.layers.masking import length_mask, masked_softmax


@keras.saving.register_keras_serializable(package="jd_tf")
class InterestCrossing(BaseLayer):
    """Sums a history up in a first-order and a second-order interest.

    First order: the mean of the events, weighted by learned attention.
    Second order: the mean over all pairs of events of their element-wise
    product, which is large where an interest returns: ((sum h)^2 - sum h^2)
    / 2 divided by the number of pairs.

    Call arguments:
        memory: (B, L, D) float. Encoded events; padding may hold anything
            finite.
        length: (B,) integer. Real events.

    Returns:
        dict of (B, D) float: `first_order` (a learned vector for an empty
        history) and `second_order` (zero for fewer than two events).

    Example:
        >>> memory, length = np.ones((2, 5, 4)), np.array([5, 1])
        >>> outputs = InterestCrossing()(memory, length)
        >>> outputs["second_order"].numpy().tolist()
        [[1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]]

    References:
        Hierarchical Attention Networks for Document Classification. Yang et
        al., NAACL 2016 (first order).
        Neural Factorization Machines for Sparse Predictive Analytics. He,
        Chua, SIGIR 2017 (second order).
    """

    def build(self, memory_shape: tuple):
        dim = memory_shape[-1]
        self.attention = self.add_dense(
            "attention", dim, dim, activation="tanh"
        )
        self.attention_query = self.add_weight(
            (dim, 1), "glorot_uniform", name="attention_query"
        )
        self.no_history = self.add_weight((dim,), "uniform", name="no_history")

    def call(self, memory: Any, length: Any) -> dict:
        max_length, dim = ops.shape(memory)[1], memory.shape[-1]
        mask = length_mask(length, max_length)
        hidden = self.attention(ops.reshape(memory, (-1, dim)))
        query = ops.cast(self.attention_query, hidden.dtype)
        scores = ops.reshape(ops.matmul(hidden, query), (-1, max_length))
        weights = masked_softmax(scores, mask)

        # Both terms of the second order are at most (n max|h|)^2, and the
        # number of pairs divides them by almost as much: in float32 the
        # cancellation leaves an error of about 1e-7 of max|h|^2 at any
        # length. In half precision the error would be as large as the result.
        memory = ops.cast(memory, "float32")
        real = ops.cast(mask, "float32")
        # Weighted mean and plain sum in one product, without a masked copy.
        readers = ops.stack([weights, real], axis=1)
        read = ops.matmul(readers, memory)
        pooled, total = read[:, 0], read[:, 1]
        squares = ops.matmul(real[:, None, :], ops.square(memory))[:, 0]
        count = ops.sum(real, axis=1, keepdims=True)
        ordered_pairs = ops.maximum(count * (count - 1.0), 1.0)
        several = ops.cast(count > 1.0, "float32")
        second = (ops.square(total) - squares) * (several / ordered_pairs)

        empty = ops.cast(count < 1.0, "float32")
        first = pooled + empty * ops.cast(self.no_history, "float32")
        return {
            "first_order": ops.cast(first, self.compute_dtype),
            "second_order": ops.cast(second, self.compute_dtype),
        }

    def compute_output_shape(self, memory_shape: tuple) -> dict:
        shape = (memory_shape[0], memory_shape[-1])
        return {"first_order": shape, "second_order": shape}
