"""Order of events: new ones before kept ones, several histories in one."""

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
from keras import ops

from jd_tf.layers.masking import length_mask


def join_events(
    new: Any, new_length: Any, kept: Any, axis: int = 1, window: int = 0
) -> Any:
    """Puts new events in front of kept ones, request by request.

    Args:
        new: (B, ..., K, ...) with events on `axis`, newest first.
        new_length: (B,) integer. Real events of them.
        kept: (B, ..., L, ...) of the same type; None leaves `new` as it is.
        axis: of the events.
        window: events that are left at most, the newest; 0 for all.

    Returns:
        (B, ..., min(K + L, window), ...). After the new events of a request
        come its kept ones; behind them anything.

    Example:
        >>> new, kept = np.array([[9, 8], [7, 0]]), np.array([[1, 2], [3, 4]])
        >>> join_events(new, np.array([2, 1]), kept, window=3).numpy().tolist()
        [[9, 8, 1], [7, 3, 4]]
    """
    if kept is None:
        return new
    count = ops.shape(new)[axis]
    both = ops.concatenate([new, kept], axis=axis)
    place = ops.arange(_cut(both, axis, window))[None, :]
    new_length = ops.cast(new_length, "int32")[:, None]
    index = ops.where(place < new_length, place, place + count - new_length)
    index = ops.minimum(index, ops.shape(both)[axis] - 1)
    return tf.gather(both, index, axis=axis, batch_dims=1)


def merge_events(
    vectors: Sequence[Any],
    times: Sequence[Any],
    lengths: Sequence[Any],
    window: int = 0,
) -> tuple[Any, Any, Any]:
    """Sorts the events of several histories into one, by time.

    Args:
        vectors: (B, L, D) of each history, newest first.
        times: (B, L) int64 of each, seconds.
        lengths: (B,) integer of each. Real events.
        window: events that are left at most, the newest; 0 for all.

    Returns:
        Vectors and times of all events, newest first, and their length. At
        one time, those of an earlier history come first.

    Example:
        >>> clicks, orders = np.array([[90, 10]]), np.array([[50, 0]])
        >>> vectors = [clicks[..., None], orders[..., None]]
        >>> lengths = [np.array([2]), np.array([1])]
        >>> _, times, length = merge_events(vectors, [clicks, orders], lengths)
        >>> times.numpy()[0, :length[0]].tolist()
        [90, 50, 10]
    """
    time = ops.concatenate(times, axis=1)
    real = [
        length_mask(length, ops.shape(one)[1])
        for one, length in zip(times, lengths, strict=True)
    ]
    # Padding comes last, whatever the times.
    first = time.dtype.min
    key = ops.where(
        ops.concatenate(real, axis=1), ops.maximum(time, first + 1), first
    )
    order = tf.argsort(key, axis=1, direction="DESCENDING", stable=True)
    order = order[:, : _cut(order, 1, window)]
    merged = ops.concatenate(vectors, axis=1)
    length = sum(ops.cast(length, "int32") for length in lengths)
    return (
        tf.gather(merged, order, axis=1, batch_dims=1),
        tf.gather(time, order, axis=1, batch_dims=1),
        ops.minimum(length, window) if window else length,
    )


def flat_states(states: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns keys and values of several layers as one dict."""
    return {
        f"layer_{number}_{name}": tensor
        for number, state in enumerate(states)
        for name, tensor in state.items()
    }


def layer_states(flat: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns keys and values of each layer, of a dict that has more."""
    names = [name for name in flat if name.startswith("layer_")]
    return [
        {part: flat[f"layer_{number}_{part}"] for part in ("keys", "values")}
        for number in range(len(names) // 2)
    ]


def _cut(events: Any, axis: int, window: int) -> Any:
    width = tf.shape(events)[axis]
    return tf.minimum(width, window) if window else width
