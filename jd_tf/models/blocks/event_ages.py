"""Ages of events, from times on the clock of the request.

A user state knows no clock: ages inside a history are counted from its newest
event, and how long ago that was enters with the request.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from keras import ops

from jd_tf.layers.masking import length_mask
from jd_tf.layers.sequence.event_times import seconds_between
from jd_tf.schema import Behavior


def newest_time(event_time: Any, length: Any) -> Any:
    """Returns the time of the newest event (B,) int64, 0 where there is none.

    Args:
        event_time: (B, L) int64, newest first; padding may hold anything.
        length: (B,) integer. Real events.
    """
    some = ops.expand_dims(length > 0, 1)
    # A sum of one event, or of none where no history has any.
    return ops.sum(ops.where(some, event_time[:, :1], 0), axis=1)


def seconds_before(event_time: Any, length: Any) -> Any:
    """Returns seconds (B, L) from the event before to each, 0 for none."""
    before = ops.pad(event_time[:, 1:], [[0, 0], [0, 1]])
    known = length_mask(length - 1, ops.shape(event_time)[1])
    return ops.where(known, seconds_between(before, event_time), 0.0)


def since_newest(
    user_state: Mapping[str, Any],
    behaviors: Sequence[Behavior],
    request_time: Any,
) -> Any:
    """Returns seconds since the newest event of each history, -1 for none.

    Args:
        user_state: has `<b>_newest_time` and `<b>_length` (B,).
        behaviors: of the schema.
        request_time: (B,) int64.

    Returns:
        (B, behaviors) float32.
    """
    since = []
    for behavior in behaviors:
        age = seconds_between(
            user_state[f"{behavior.name}_newest_time"], request_time
        )
        since.append(ops.where(user_state[behavior.length] > 0, age, -1.0))
    return ops.stack(since, axis=1)
