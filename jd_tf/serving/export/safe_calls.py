"""Bounds what a client may send, and what may be answered, in the graph.

A model server checks names and dtypes of a call, neither shapes nor values.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import tensorflow as tf

from jd_tf.schema import UNKNOWN_DWELL, Column, Role
from jd_tf.serving.signature_names import (
    AMOUNTS,
    ITEM_ID,
    LOWEST_SCORE,
    STATE_PREFIX,
)

# Longer than any visit, more than any count; its sum over a history is finite.
_LARGEST = 1e9


def safe_inputs(
    inputs: Mapping[str, tf.Tensor],
    specs: Mapping[str, tf.TensorSpec],
    columns: Iterable[Column],
) -> dict[str, tf.Tensor]:
    """Returns inputs that a model can read, whatever was sent.

    A rank or size of another signature, and columns of one length that differ
    in width, fail the call. Lengths are brought between 0 and that width, and
    a width of 0 becomes 1. Seconds of dwell and counts that are not finite
    become unknown. Dense features are left to `FeatureNormalization`, times to
    `seconds_between`.

    Args:
        inputs: of a signature.
        specs: their shapes.
        columns: of the schema; other inputs belong to a user state.
    """
    by_name = {column.name: column for column in columns}
    safe = {
        name: tf.ensure_shape(tensor, specs[name].shape)
        for name, tensor in inputs.items()
    }
    _check_axes(safe, by_name)
    widths: dict[str, tf.Tensor] = {}
    padding: dict[tuple[str, int], tf.Tensor] = {}
    for name, column in by_name.items():
        if name not in safe or not column.ragged:
            continue
        width = widths.setdefault(column.length, tf.shape(safe[name])[1])
        measured = column.role is Role.HISTORY and column.dtype == "float32"
        if measured and not name.endswith("_item_dense"):
            bounded = tf.clip_by_value(safe[name], UNKNOWN_DWELL, _LARGEST)
            finite = tf.math.is_finite(safe[name])
            safe[name] = tf.where(finite, bounded, UNKNOWN_DWELL)
        # Of nothing a reshape cannot tell what the other axes were.
        inner = len(column.shape) - 2
        if (column.length, inner) not in padding:
            lacking = [[tf.maximum(1 - width, 0)]]
            padding[column.length, inner] = tf.pad(
                lacking, [[1, inner], [1, 0]]
            )
        padded = tf.pad(safe[name], padding[column.length, inner])
        safe[name] = tf.ensure_shape(padded, column.shape)
    for length, width in widths.items():
        if length in safe:
            safe[length] = tf.clip_by_value(safe[length], 0, width)
    return safe


def safe_outputs(
    outputs: Mapping[str, tf.Tensor],
    inputs: Mapping[str, tf.Tensor],
    num_candidates: tf.Tensor | None,
) -> dict[str, tf.Tensor]:
    """Returns answers in which nothing but real candidates can win.

    Beyond `num_candidates`, and where it is not finite, a score is the lowest
    there is, and probabilities and amounts are 0. Without candidates all axes
    of no fixed size are empty.

    Args:
        outputs: of a signature.
        inputs: as they were sent.
        num_candidates: (B,) as of `safe_inputs`; None where users are encoded.
    """
    outputs = dict(outputs)
    if num_candidates is None:
        return outputs
    if "score" in outputs:
        score = outputs["score"]
        real = tf.range(tf.shape(score)[1]) < num_candidates[:, None]
        real &= tf.math.is_finite(score)
        found = [n for n in ("probabilities", AMOUNTS) if n in outputs]
        for name in found:
            real &= tf.reduce_all(tf.math.is_finite(outputs[name]), axis=-1)
        for name in found:
            outputs[name] = tf.where(real[..., None], outputs[name], 0.0)
        outputs["score"] = tf.where(real, score, LOWEST_SCORE)
    kept = tf.where(tf.shape(inputs[ITEM_ID])[1] > 0, tf.int32.max, 0)
    for name, tensor in outputs.items():
        if name.startswith(STATE_PREFIX):
            continue
        cut = [slice(kept if n is None else None) for n in tensor.shape[1:]]
        index = (slice(None), *cut)
        outputs[name] = tensor[index]
    return outputs


def _check_axes(
    inputs: Mapping[str, tf.Tensor], columns: Mapping[str, Column]
) -> None:
    """Fails where columns differ in B, or those of one length in width.

    A single comparison of all sizes, each with the first of its axis.
    """
    first: dict[Any, int] = {}
    places: list[int] = []
    for name, tensor in inputs.items():
        for axis in range(tensor.shape.rank):
            ragged = axis == 1 and name in columns and columns[name].ragged
            of = columns[name].length if ragged else (name, axis)
            places.append(first.setdefault(of if axis else "B", len(places)))
    sizes = tf.concat([tf.shape(one) for one in inputs.values()], axis=0)
    same = tf.reduce_all(tf.equal(tf.gather(sizes, places), sizes))
    message = (
        "columns of one call differ in their number of requests, or columns "
        "of one length in their width"
    )
    tf.raw_ops.Assert(condition=same, data=[message], summarize=1)
