"""Multi-head attention of candidates over an encoded history."""

import math
from typing import Any

import keras
from keras import ops

from jd_tf.layers.base_layer import BaseLayer
from jd_tf.layers.checks import check_heads, check_int, check_rate
from jd_tf.layers.masking import hide_padding, length_mask, softmax
from jd_tf.layers.sequence.attention_heads import merge_heads, split_heads


@keras.saving.register_keras_serializable(package="jd_tf")
class TargetAttentionDecoder(BaseLayer):
    """Reads a user's memory for every candidate, by multi-head attention.

    Two halves: `encode_memory` makes keys and values once a user, `attend`
    reads them for any number of candidates, and calling the layer chains
    both. Candidates never see each other, so scoring them in slices changes
    nothing. An empty history reads as one learned vector.

    Candidates pass a layer norm before they become queries: memories are
    normalised too, and candidates of small embeddings would otherwise score
    near zero everywhere and hardly learn to attend.

    With `feedforward_dim` the read-out is added to the candidate and a
    feed-forward part follows, both pre-norm as in a Transformer decoder
    (and nothing but the candidate enters, so its width must be D).

    Args:
        num_heads: int. Attention heads; divides D, the memory's width.
        feedforward_dim: int. Inner width of the feed-forward part. 0: the
            read-out alone is returned.
        dropout_rate: float. Dropout after each part.

    Call arguments:
        queries: (B, N, Dq) float. Candidates.
        memory: (B, L, D) float. Encoded events; padding may hold anything
            finite.
        length: (B,) integer. Real events.
        training: bool. Whether dropout is active.

    Returns:
        (B, N, D) float.

    Raises:
        ValueError: an argument out of range, D no multiple of `num_heads`,
            or Dq other than D with `feedforward_dim`.

    Example:
        >>> candidates, memory = np.ones((2, 3, 8)), np.ones((2, 5, 8))
        >>> layer = TargetAttentionDecoder(num_heads=2)
        >>> layer(candidates, memory, np.array([5, 0])).shape
        TensorShape([2, 3, 8])

    References:
        Deep Multifaceted Transformers for Multi-objective Ranking in
        Large-Scale E-commerce Recommender Systems. Gu et al., CIKM 2020.
        Attention Is All You Need. Vaswani et al., NeurIPS 2017.
    """

    def __init__(
        self,
        num_heads: int,
        feedforward_dim: int = 0,
        dropout_rate: float = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_heads = check_int("num_heads", num_heads, 1)
        self.feedforward_dim = check_int("feedforward_dim", feedforward_dim, 0)
        self.dropout_rate = check_rate("dropout_rate", dropout_rate)

    def build(self, queries_shape: tuple, memory_shape: tuple):
        query_dim, dim = queries_shape[-1], memory_shape[-1]
        self.head_dim = check_heads(dim, self.num_heads, "`memory`")
        if self.feedforward_dim and query_dim != dim:
            raise ValueError(
                "With `feedforward_dim`, `queries` and `memory` must be "
                f"equally wide. Got: {query_dim} and {dim}."
            )
        norm = keras.layers.LayerNormalization
        self.query_norm = self.add_part(
            norm, "query_norm", (None, query_dim), epsilon=1e-6
        )
        self.query = self.add_dense("query", query_dim, dim)
        # One product for two projections, each initialised as itself.
        fan_in = keras.initializers.VarianceScaling(
            mode="fan_in", distribution="uniform"
        )
        self.key_value = self.add_dense(
            "key_value", dim, 2 * dim, kernel_initializer=fan_in
        )
        self.attention_output = self.add_dense("attention_output", dim, dim)
        self.no_history = self.add_weight((dim,), "uniform", name="no_history")
        self.dropout = self.add_part(
            keras.layers.Dropout, "dropout", (None, dim), self.dropout_rate
        )
        if self.feedforward_dim:
            inner = self.feedforward_dim
            self.feedforward_norm = self.add_part(
                norm, "feedforward_norm", (None, dim), epsilon=1e-6
            )
            self.feedforward_inner = self.add_dense(
                "feedforward_inner", dim, inner, activation="gelu"
            )
            self.feedforward_output = self.add_dense(
                "feedforward_output", inner, dim
            )

    def encode_memory(self, memory: Any) -> dict:
        """Projects a user's memory (B, L, D), once for all candidates.

        Returns:
            dict of (B, H, L, D / H) float: `keys` and `values`.
        """
        max_length, dim = ops.shape(memory)[1], memory.shape[-1]
        fused = self.key_value(ops.reshape(memory, (-1, dim)))
        fused = ops.reshape(fused, (-1, max_length, 2 * dim))
        keys, values = split_heads(fused, self.num_heads, 2)
        # Scores are products over the root of their length; the keys are
        # divided, once a user, instead of each candidate's query.
        return {"keys": keys / math.sqrt(self.head_dim), "values": values}

    def attend(
        self,
        queries: Any,
        keys: Any,
        values: Any,
        length: Any,
        training: bool | None = None,
    ) -> Any:
        """Reads an encoded memory for each candidate.

        `keys` and `values` are of `encode_memory`; the rest is that of the
        call.
        """
        num_candidates = ops.shape(queries)[1]
        dim = self.num_heads * self.head_dim
        mask = length_mask(length, ops.shape(keys)[2])
        weights = self._weights(queries, keys, mask)
        weights = ops.cast(weights, self.compute_dtype)
        values = ops.cast(values, self.compute_dtype)
        # In front of the product: there is less to mask than behind it.
        values = ops.where(mask[:, None, :, None], values, 0.0)
        read = merge_heads(ops.matmul(weights, values))
        # An empty history has no values: its read-out is zero so far.
        no_history = ops.cast(self.no_history, self.compute_dtype)
        read += ops.where(length[:, None, None] < 1, no_history, 0.0)

        flat = self.attention_output(ops.reshape(read, (-1, dim)))
        flat = self.dropout(flat, training=training)
        if self.feedforward_dim:
            flat += ops.cast(ops.reshape(queries, (-1, dim)), flat.dtype)
            hidden = self.feedforward_inner(self.feedforward_norm(flat))
            hidden = self.feedforward_output(hidden)
            flat += self.dropout(hidden, training=training)
        return ops.reshape(flat, (-1, num_candidates, dim))

    def attention_weights(self, queries: Any, keys: Any, length: Any) -> Any:
        """Returns the attention of each candidate to each event, by head.

        Arguments are those of `attend`.

        Returns:
            (B, H, N, L) float32. Over real events they sum to 1, padding
            has exactly 0, and an empty history is 0 throughout.
        """
        mask = length_mask(length, ops.shape(keys)[2])
        weights = self._weights(queries, keys, mask)
        return weights * ops.cast(mask, "float32")[:, None, None, :]

    def _weights(self, queries: Any, keys: Any, mask: Any) -> Any:
        """`attention_weights`, but anything finite for an empty history."""
        num_candidates = ops.shape(queries)[1]
        queries = ops.reshape(queries, (-1, queries.shape[-1]))
        queries = self.query(self.query_norm(queries))
        dim = self.num_heads * self.head_dim
        queries = ops.reshape(queries, (-1, num_candidates, dim))
        (queries,) = split_heads(queries, self.num_heads)
        keys = ops.cast(keys, self.compute_dtype)
        scores = ops.matmul(queries, ops.transpose(keys, (0, 1, 3, 2)))
        return softmax(hide_padding(scores, mask[:, None, None, :]))

    def call(
        self,
        queries: Any,
        memory: Any,
        length: Any,
        training: bool | None = None,
    ) -> Any:
        encoded = self.encode_memory(memory)
        return self.attend(queries, **encoded, length=length, training=training)

    def compute_output_shape(
        self, queries_shape: tuple, memory_shape: tuple
    ) -> tuple:
        return (*queries_shape[:2], memory_shape[-1])
