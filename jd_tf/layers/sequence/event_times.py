"""Seconds between events, and their logarithmic buckets."""

import math
from typing import Any

from keras import ops

TWO_YEARS = 2 * 365 * 24 * 3600.0
# No difference of times within it overflows.
_LATEST = 2**61


def seconds_between(earlier: Any, later: Any) -> Any:
    """Returns float32 seconds between int64 times, 0 in the wrong order."""
    # Not as float32: half of it would be rounding by now.
    earlier, later = (
        ops.clip(time, -_LATEST, _LATEST) for time in (earlier, later)
    )
    return ops.cast(ops.maximum(later - earlier, 0), "float32")


def age_bucket(
    age_seconds: Any, num_age_buckets: int, max_age_seconds: float = TWO_YEARS
) -> Any:
    """Returns the logarithmic buckets of ages, int32; see `TemporalEncoding`.

    Args:
        age_seconds: float32 of any shape.
        num_age_buckets: buckets.
        max_age_seconds: where the last of them begins.
    """
    age = ops.clip(ops.cast(age_seconds, "float32"), 0.0, max_age_seconds)
    last = num_age_buckets - 1
    buckets_per_log = last / math.log1p(max_age_seconds)
    bucket = ops.cast(ops.log1p(age) * buckets_per_log, "int32")
    return ops.clip(bucket, 0, last)
