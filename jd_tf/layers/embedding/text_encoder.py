"""Learned vectors of texts."""

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from jd_tf.layers.base_layer import BaseLayer
from jd_tf.layers.checks import check_int
from jd_tf.layers.embedding.text_tokens import tokenize
from jd_tf.layers.placeholders import of_dtype


@keras.saving.register_keras_serializable(package="jd_tf")
class TextEncoder(BaseLayer):
    """Averages the learned vectors of a text's words.

    Raw text goes in, so that training and serving cannot drift: it is split
    in the graph into words and, where no spaces are written, overlapping
    pairs of characters (`text_tokens.tokenize`), which are hashed into
    `num_buckets` table rows. A new item so shares the vectors learned for
    the words in its title.

    As in `IdEmbedding` the table is gathered from the variable itself, so
    its gradient is a `tf.IndexedSlices`. A text that is in the batch many
    times, such as the empty text of padding, is read once.

    Args:
        embedding_dim: int. Width D of a vector.
        num_buckets: int. Table rows, shared by all tokens.
        max_tokens: int. Later tokens of a text are not read.

    Call arguments:
        texts: any shape, string, UTF-8.

    Returns:
        Shape of `texts` + (D,) float; zero for a text without letters or
        digits, such as the empty one.

    Raises:
        ValueError: an argument out of range, or `texts` of another type.

    Example:
        >>> layer = TextEncoder(4, num_buckets=100)
        >>> layer(np.array([["green tea 50g", ""]])).shape
        TensorShape([1, 2, 4])
    """

    def __init__(
        self,
        embedding_dim: int,
        num_buckets: int,
        max_tokens: int = 64,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.embedding_dim = check_int("embedding_dim", embedding_dim, 1)
        self.num_buckets = check_int("num_buckets", num_buckets, 1)
        self.max_tokens = check_int("max_tokens", max_tokens, 1)
        # XLA has no strings.
        self.supports_jit = False

    def build(self, texts_shape: tuple | None = None):
        # Without autocast, which would copy the whole table on every call.
        self.table = self.add_weight(
            (self.num_buckets, self.embedding_dim),
            "uniform",
            autocast=False,
            name="table",
        )

    def tokens(self, texts: Any) -> tf.RaggedTensor:
        """Splits texts (S,) as `call` does, (S, number of tokens)."""
        return tokenize(tf.convert_to_tensor(texts), self.max_tokens)

    def call(self, texts: Any) -> Any:
        texts = of_dtype(texts, "string", self.name)
        distinct, which = tf.unique(tf.reshape(texts, [-1]))
        tokens = self.tokens(distinct)
        rows = tf.strings.to_hash_bucket_fast(tokens.values, self.num_buckets)
        vectors = self.gather(rows)
        means = tf.math.unsorted_segment_mean(
            vectors, tokens.value_rowids(), tokens.nrows()
        )
        means = tf.gather(means, tf.reshape(which, tf.shape(texts)))
        return ops.cast(means, self.compute_dtype)

    def gather(self, table_rows: Any) -> Any:
        """Reads these rows, as `IdEmbedding.gather` does."""
        return tf.nn.embedding_lookup(self.table.value, table_rows)

    def compute_output_shape(self, texts_shape: tuple) -> tuple:
        return (*texts_shape, self.embedding_dim)
