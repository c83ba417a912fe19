"""Parts of the training data, so that no request reads its own events."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from jd_tf.schema import Role, Schema

# The part of a request, in a training batch.
PART = "pair_part"
TIME, USER = "time", "user"


@dataclasses.dataclass(frozen=True)
class TrainingParts:
    """Tells the part of the training data that a request belongs to.

    Attributes:
        leave_out: "time": a request reads what was counted from the parts
            before its own; "user": from all parts but its own.
        num_parts: how many there are.
        boundaries: of "time": first `request_time` of each part but the
            first, ascending.

    Example:
    >>> parts = TrainingParts("time", 3, (100, 200))
    >>> parts.of(["u", "v", "w"], [99, 100, 250]).numpy().tolist()
    [0, 1, 2]
    """

    leave_out: str
    num_parts: int
    boundaries: tuple[int, ...] = ()

    def of(self, user_id: Any, request_time: Any) -> tf.Tensor:
        """Returns the parts (B,) int32 of requests."""
        if self.leave_out == USER:
            parts = tf.strings.to_hash_bucket_fast(user_id, self.num_parts)
            return tf.cast(parts, tf.int32)
        boundaries = tf.constant(self.boundaries, tf.int64)
        times = tf.cast(request_time, tf.int64)
        return tf.searchsorted(boundaries, times, side="right")

    def are_read_by(self, part: int, parts: Any) -> Any:
        """Returns which of the parts a request of this one may read."""
        return parts != part if self.leave_out == USER else parts < part

    def mark(
        self, batch: Mapping[str, tf.Tensor], schema: Schema
    ) -> dict[str, tf.Tensor]:
        """Returns a training batch with its `pair_part`, and no keys."""
        marked = dict(batch)
        marked[PART] = self.of(batch["user_id"], batch["request_time"])
        for column in schema.columns(Role.KEY):
            del marked[column.name]
        return marked
