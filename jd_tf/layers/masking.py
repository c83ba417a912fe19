"""Masks from lengths, and a softmax over what they leave."""

from typing import Any

import tensorflow as tf
from keras import ops

# Finite, so that an all-padding row stays a number; far below any real score,
# so that its exponential is exactly zero beside one real score.
MASKED_SCORE = -1e9


def length_mask(length: Any, max_length: Any) -> Any:
    """Returns a mask of the real events.

    Args:
        length: (B,) integer. Real events of each request.
        max_length: int or scalar tensor. Events of the padded batch, L.

    Returns:
        (B, L) bool, True = real.
    """
    positions = ops.arange(max_length, dtype="int32")
    return positions[None, :] < ops.cast(length, "int32")[:, None]


def softmax(scores: Any) -> Any:
    """Softmax over the last axis, in float32.

    TensorFlow's own: that of `keras.ops` warns where the axis has one
    element, which is normal for short histories and for one expert.

    Args:
        scores: (..., L) float.

    Returns:
        (..., L) float32, sums to 1.
    """
    return tf.nn.softmax(ops.cast(scores, "float32"))


def hide_padding(scores: Any, mask: Any) -> Any:
    """Lowers the scores of padding below all others, for a softmax.

    By a sum, which is cheaper than `where` if the mask is small and the
    scores are many; a finite score is lost in so large a number.

    Args:
        scores: (..., L) float, finite.
        mask: bool, broadcasts against `scores`, True = real.

    Returns:
        (..., L) float32.
    """
    hidden = ops.where(mask, 0.0, MASKED_SCORE)
    return ops.cast(scores, "float32") + hidden


def masked_softmax(scores: Any, mask: Any) -> Any:
    """Softmax over the last axis that gives padding exactly zero.

    Computed in float32 for every input dtype: half precision loses the sum
    of many small weights. The mask enters before the softmax, so that real
    weights sum to one, and again after it, so that a row of padding only
    is all zero instead of spread evenly.

    Args:
        scores: (..., L) float.
        mask: bool, broadcasts against `scores`, True = real.

    Returns:
        (..., L) float32; sums to 1, or to 0 where nothing is real.
    """
    scores = hide_padding(scores, mask)
    return softmax(scores) * ops.cast(mask, "float32")
