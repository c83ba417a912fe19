"""Inputs of another type than a layer takes: Keras traces with floats."""

from typing import Any

import ml_dtypes
import tensorflow as tf

_REMEDY = (
    "A subclassed model is exported with floats, unless `export` is given an "
    "`input_signature`."
)


def of_dtype(values: Any, dtype: str, layer_name: str) -> tf.Tensor:
    """Returns integers or strings as a tensor, or raises an error.

    Smaller integers are widened. Floats are taken in graphs: Keras traces
    one of floats to make the variables of a subclassed model that it loads,
    and, whatever signature it is told, when it exports one. When such a graph
    runs it takes whole numbers that a float can tell apart; others fail.

    Args:
        values: any shape.
        dtype: "int64" or "string".
        layer_name: for the error.
    """
    values = tf.convert_to_tensor(values)
    wanted, found = tf.as_dtype(dtype), values.dtype
    if found == wanted:
        return values
    if found.is_integer and wanted.is_integer and found.size < wanted.size:
        return tf.cast(values, wanted)
    problem = f"Layer {layer_name!r} takes {dtype} ids. Got: {found.name}."
    if tf.executing_eagerly() or not found.is_floating:
        raise ValueError(problem)
    whole, right = tf.zeros(tf.shape(values), wanted), tf.constant(False)
    if wanted.is_integer:
        whole = tf.cast(values, wanted)
        # Beyond this floats leave whole numbers out.
        digits = 2.0 / float(ml_dtypes.finfo(found.as_numpy_dtype).eps)
        right = (tf.abs(values) < digits) & (tf.cast(whole, found) == values)
    check = tf.debugging.Assert(
        tf.reduce_all(right), [f"{problem} {_REMEDY}", values]
    )
    with tf.control_dependencies([check]):
        return tf.identity(whole)
