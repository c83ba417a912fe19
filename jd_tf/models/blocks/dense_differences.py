"""Differences between candidates' numbers and those of past events."""

from typing import Any

from keras import ops

from jd_tf.layers.masking import length_mask

_FAR = 1e4  # above any difference of normalised numbers


def real_numbers(numbers: Any, length: Any) -> tuple[Any, Any]:
    """Returns numbers (B, L, F), now 0 in padding, and their mean (B, F)."""
    mask = length_mask(length, ops.shape(numbers)[1])[..., None]
    numbers = ops.where(mask, numbers, 0.0)
    count = ops.cast(ops.maximum(length, 1), numbers.dtype)[:, None]
    return numbers, ops.sum(numbers, axis=1) / count


def dense_differences(
    candidates: Any, numbers: Any, mean: Any, length: Any
) -> Any:
    """Returns differences of candidates (B, N, F) to events, (B, N, 3 F).

    To the events' mean, to the newest, and to the nearest without its sign;
    all are 0 where there is no event. `numbers` and `mean` are those of
    `real_numbers`.
    """
    candidates = ops.cast(candidates, numbers.dtype)
    # A sum of one event, or of none where no history has any.
    newest = ops.sum(numbers[:, :1], axis=1)
    mask = length_mask(length, ops.shape(numbers)[1])[:, None, :, None]
    distances = ops.abs(candidates[:, :, None] - numbers[:, None])
    nearest = ops.min(ops.where(mask, distances, _FAR), axis=2, initial=_FAR)
    signed = [candidates - level[:, None] for level in (mean, newest)]
    found = ops.concatenate([*signed, nearest], axis=-1)
    return ops.where((length > 0)[:, None, None], found, 0.0)
