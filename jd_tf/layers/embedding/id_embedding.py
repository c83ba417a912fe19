"""Learned vectors of raw ids."""

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from jd_tf.layers.base_layer import BaseLayer
from jd_tf.layers.checks import check_id_dtype, check_int
from jd_tf.layers.placeholders import of_dtype

# Steps of the splitmix64 finaliser: xor with a right shift, then multiply by
# the published constants, here as signed 64-bit numbers; TensorFlow's
# products wrap around.
_MIX_STEPS = ((30, -0x40A7B892E31B1A47), (27, -0x6B2FB644ECCEEE15))
_LAST_SHIFT = 31
_UNKNOWN_ROW = 1
_POOLINGS = ("", "mean", "sum")


@keras.saving.register_keras_serializable(package="jd_tf")
class IdEmbedding(BaseLayer):
    """Looks raw ids up in a table of learned vectors.

    Ids come as the logs have them and become rows inside the graph, so that
    training and serving cannot drift. They are hashed into `num_buckets`
    rows (collisions share a row), or looked up in a fixed `vocabulary`.
    Id 0, or the empty string, is padding: its vector is exactly zero and its
    row gets no gradient.

    The table is gathered from the variable itself: the gradient is a
    `tf.IndexedSlices` of the rows touched and nothing reads the whole
    table, so a step costs the same at a thousand rows and at a billion.
    Masking padding is one multiplication, about a sixth of the look-up.

    Args:
        embedding_dim: int. Width D of a vector.
        num_buckets: int. Rows of a hashed table, padding's row 0 included;
            other ids share rows 1 to `num_buckets - 1`. 0: not hashed.
        vocabulary: tuple of ints or strings. The ids of a looked-up table:
            row 0 is padding, row 1 any other id, zero until training meets
            one, then these in order. It travels in the config. Empty: hashed.
        id_dtype: str. `"int64"` or `"string"`.
        embeddings_initializer: initializer of the table, or its name.
        pooling: str. `"mean"` or `"sum"` over the ids on the last axis that
            are no padding, zero if there is none; `""` pools nothing.

    Call arguments:
        ids: any shape, int64 (int32 is widened) or string. Raw ids.

    Returns:
        shape of `ids` + (D,) float, without its last axis if pooled.

    Raises:
        ValueError: not exactly one of `num_buckets` and `vocabulary`; an id
            that is there twice, is padding or is of the wrong type.

    Example:
        >>> layer = IdEmbedding(4, vocabulary=(11, 12))
        >>> vectors = layer(np.array([[11, 99, 0]]))
        >>> vectors.shape
        TensorShape([1, 3, 4])
        >>> bool(np.any(vectors[0, 2]))
        False

    References:
        Fast Splittable Pseudorandom Number Generators. Steele, Lea, Flood,
        OOPSLA 2014 (the hash).
    """

    def __init__(
        self,
        embedding_dim: int,
        num_buckets: int = 0,
        vocabulary: tuple = (),
        id_dtype: str = "int64",
        embeddings_initializer: Any = "uniform",
        pooling: str = "",
        **kwargs,
    ):
        super().__init__(**kwargs)
        # XLA has no strings, no tables and no sparse gradients.
        self.supports_jit = False
        self.embedding_dim = check_int("embedding_dim", embedding_dim, 1)
        self.id_dtype = check_id_dtype(id_dtype)
        if bool(num_buckets) == (len(vocabulary) > 0):
            raise ValueError(
                "Give exactly one of `num_buckets` and `vocabulary`. Got: "
                f"num_buckets={num_buckets} and {len(vocabulary)} ids."
            )
        if num_buckets:
            num_buckets = check_int("num_buckets", num_buckets, 2)
        self.num_buckets = num_buckets
        self.vocabulary = _check_vocabulary(vocabulary, id_dtype)
        self.embeddings_initializer = keras.initializers.get(
            embeddings_initializer
        )
        if pooling not in _POOLINGS:
            raise ValueError(
                f"`pooling` must be one of {_POOLINGS}. Got: {pooling!r}."
            )
        self.pooling = pooling
        if self.vocabulary:
            self._row_of_id = _static_table(self.vocabulary, id_dtype)

    def build(self, ids_shape: tuple | None = None):
        # Without autocast: a half-precision copy of the whole table would be
        # made on every call, and the gradient would be as large.
        num_rows = self.num_buckets or len(self.vocabulary) + 2
        self.table = self.add_weight(
            (num_rows, self.embedding_dim),
            self._initial_rows,
            autocast=False,
            name="table",
        )

    def _initial_rows(self, shape: tuple, dtype: Any = None) -> Any:
        table = self.embeddings_initializer(shape, dtype=dtype)
        if not self.vocabulary:
            return table
        # Where training knows every id, this row is never trained.
        known = ops.expand_dims(ops.arange(shape[0]) != _UNKNOWN_ROW, -1)
        return table * ops.cast(known, table.dtype)

    def rows(self, ids: Any) -> Any:
        """Returns the table row of each raw id, int64, 0 for padding."""
        ids = of_dtype(ids, self.id_dtype, self.name)
        if self.vocabulary:
            return self._row_of_id.lookup(ids)
        if self.id_dtype == "int64":
            return hashed_rows(ids, self.num_buckets)
        rows = tf.strings.to_hash_bucket_fast(ids, self.num_buckets - 1)
        return tf.where(ids == "", tf.zeros_like(rows), rows + 1)

    def call(self, ids: Any) -> Any:
        return self.vectors(self.rows(ids))

    def vectors(self, table_rows: Any) -> Any:
        """Returns the vector (D,) of each table row, zero for row 0; pooled."""
        vectors = self.gather(table_rows)
        is_real = tf.cast(table_rows > 0, vectors.dtype)[..., None]
        vectors *= is_real
        if self.pooling:
            vectors = ops.sum(vectors, axis=-2)
        if self.pooling == "mean":
            vectors /= ops.maximum(ops.sum(is_real, axis=-2), 1.0)
        return ops.cast(vectors, self.compute_dtype)

    def gather(self, table_rows: Any) -> Any:
        """Reads these rows; `round_ranker` replaces it by a compact table's."""
        # `.value` is the tf.Variable, not its content: see the docstring.
        return tf.nn.embedding_lookup(self.table.value, table_rows)

    def compute_output_shape(self, ids_shape: tuple) -> tuple:
        kept = ids_shape[:-1] if self.pooling else ids_shape
        return (*kept, self.embedding_dim)


def hashed_rows(ids: Any, num_buckets: Any) -> Any:
    """Returns the row of a hashed table for each int64 id, 0 for padding.

    Columns of several tables are best stacked and hashed together: each
    operation then runs once. `num_buckets` is one int, or one a column on the
    last axis of `ids`.
    """
    num_hashed = tf.constant(num_buckets, tf.int64) - 1
    rows = _mix(ids) % num_hashed + 1
    return tf.where(ids == 0, tf.zeros_like(rows), rows)


def _check_vocabulary(vocabulary: tuple, id_dtype: str) -> tuple:
    """Returns the ids as Python values, or raises an error that names one."""
    convert: type = str if id_dtype == "string" else int
    seen = set()
    for value in vocabulary:
        is_text, is_int = isinstance(value, str), hasattr(value, "__index__")
        if not value or not (is_text if convert is str else is_int):
            raise ValueError(
                f"`vocabulary` must hold {id_dtype} ids, and not the padding "
                f'id (0 or ""). Got: {value!r}.'
            )
        if value in seen:
            raise ValueError(
                f"`vocabulary` must name each id once. Got twice: {value!r}."
            )
        seen.add(value)
    return tuple(convert(value) for value in vocabulary)


def _static_table(vocabulary: tuple, id_dtype: str) -> Any:
    """Makes the id -> row table, which every stock TensorFlow server runs."""
    padding = "" if id_dtype == "string" else 0
    # Built outside any graph being traced, so that it outlives the trace.
    with tf.init_scope():
        keys = tf.constant([padding, *vocabulary], dtype=id_dtype)
        rows = tf.constant([0, *range(2, len(vocabulary) + 2)], dtype="int64")
        return tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(keys, rows), default_value=1
        )


def _mix(ids: Any) -> Any:
    """Mixes all bits of 64-bit ids into a non-negative number."""
    mixed = ids
    for shift, factor in _MIX_STEPS:
        mixed = tf.bitwise.bitwise_xor(mixed, _logical_shift(mixed, shift))
        mixed *= factor
    mixed = tf.bitwise.bitwise_xor(mixed, _logical_shift(mixed, _LAST_SHIFT))
    return tf.bitwise.bitwise_and(mixed, tf.int64.max)


def _logical_shift(values: Any, shift: int) -> Any:
    """Shifts right and fills with zeros; TensorFlow's fills with the sign."""
    shifted = tf.bitwise.right_shift(values, tf.constant(shift, tf.int64))
    return tf.bitwise.bitwise_and(shifted, (1 << (64 - shift)) - 1)
