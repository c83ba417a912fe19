"""Masks from lengths, and a softmax over what they leave."""

from typing import Any

import tensorflow as tf
from keras import ops

# Finite, so that an all-padding row stays a number; far below any real score,
# so that its exponential is exactly zero beside one real score.
MASKED_SCORE = -1e9


def length_mask(length: Any, max_length: Any) -> Any:
    """Returns (B, L) bool, True for the first `length` (B,) of L events."""
    positions = ops.arange(max_length, dtype="int64")
    return positions[None, :] < ops.cast(length, "int64")[:, None]


def mean_of_real(events: Any, length: Any) -> Any:
    """Returns the mean (B, D) of real events (B, L, D), zero without any."""
    real = length_mask(length, ops.shape(events)[1])[..., None]
    total = ops.sum(ops.where(real, events, 0.0), axis=1)
    return total / ops.cast(ops.maximum(length, 1), total.dtype)[:, None]


def attention_mask(length: Any, max_length: Any, causal: bool = False) -> Any:
    """Returns which events attend to which, bool (B, 1, 1 or L, L).

    Every event attends to the real ones; if `causal`, to itself and older
    ones alone: events are newest first, so older is further on.
    """
    mask = length_mask(length, max_length)[:, None, None, :]
    if not causal:
        return mask
    place = ops.arange(max_length)
    return mask & (place[None, :] >= place[:, None])


def softmax(scores: Any) -> Any:
    """Returns the softmax over the last axis, in float32.

    TensorFlow's own: that of `keras.ops` warns where the axis has one
    element, which is normal for short histories and for one expert.
    """
    return tf.nn.softmax(ops.cast(scores, "float32"))


def hide_padding(scores: Any, mask: Any) -> Any:
    """Lowers finite scores where the mask is False, for a softmax; float32.

    By a sum, which is cheaper than `where` if the mask is small and the
    scores are many; a finite score is lost in so large a number.
    """
    hidden = ops.where(mask, 0.0, MASKED_SCORE)
    return ops.cast(scores, "float32") + hidden


def masked_softmax(scores: Any, mask: Any) -> Any:
    """Returns a softmax over the last axis that gives padding exactly zero.

    In float32: half precision loses the sum of many small weights. The mask
    enters before the softmax, so that real weights sum to one, and again
    after it, so that a row of padding only is all zero.
    """
    scores = hide_padding(scores, mask)
    return softmax(scores) * ops.cast(mask, "float32")
