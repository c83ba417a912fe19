"""Raw ids as int64 keys, and their rows in a table sorted by key."""

from typing import Any

import tensorflow as tf

from jd_tf.layers.placeholders import of_dtype

# The key of a table row that is not in use: it sorts behind every id.
UNUSED = 2**63 - 1


def id_keys(ids: Any, id_dtype: str, name: str) -> tf.Tensor:
    """Returns the int64 keys of raw ids: numbers as they are, texts hashed.

    0 stands for padding and for the one number that no table can hold. Of a
    million texts two share a hash of 63 bits with a probability of 5e-8.

    Args:
        ids: any shape, int64 (int32 is widened) or string.
        id_dtype: which of the two is wanted.
        name: of the layer, for the error.
    """
    ids = of_dtype(ids, id_dtype, name)
    if id_dtype == "string":
        keys, named = tf.strings.to_hash_bucket_fast(ids, UNUSED), ids != ""
    else:
        keys, named = ids, ids != UNUSED
    return tf.where(named, keys, tf.zeros_like(keys))


def find_rows(row_keys: Any, keys: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Finds keys by binary search; reads no other row.

    Args:
        row_keys: (R,) int64, ascending; a `tf.Variable` is not copied.
        keys: any shape, int64; 0 is none.

    Returns:
        Rows, shape of `keys`, and whether they hold the key.
    """
    # Read once: a variable that is gathered from is copied when it is read.
    row_keys = tf.convert_to_tensor(row_keys)
    rows = tf.searchsorted(row_keys, tf.reshape(keys, [-1]))
    # A key above all others has no row of its own to be compared with.
    rows = tf.minimum(rows, row_keys.shape[0] - 1)
    rows = tf.reshape(rows, tf.shape(keys))
    return rows, (keys != 0) & (tf.gather(row_keys, rows) == keys)
