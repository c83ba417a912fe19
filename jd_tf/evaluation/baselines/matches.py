"""Which events of a history share an id with a candidate."""

from collections.abc import Mapping

import numpy as np

from jd_tf.metrics.cells import real_cells
from jd_tf.schema import Behavior

Arrays = Mapping[str, np.ndarray]


def match_events(batch: Arrays, behavior: Behavior, column: str) -> np.ndarray:
    """[B, N, L] float32, 1 where candidate and real event have the same id.

    Ids that stand for nothing (0 or the empty string) match nothing.
    """
    candidates, events = batch[column], batch[f"{behavior.name}_{column}"]
    real = real_cells(batch[behavior.length], events.shape[1])
    if events.dtype.kind in "SU":
        events = events.astype(object)
    real = real & events.astype(bool)
    same = candidates[:, :, None] == events[:, None, :]
    return (same & real[:, None, :]).astype(np.float32)


def newest_first(batch: Arrays, behavior: Behavior) -> np.ndarray:
    """[B, L] float32: 1, 1/2, 1/3 ... for real events, 0 for padding."""
    length = batch[behavior.length]
    width = batch[f"{behavior.name}_age_seconds"].shape[1]
    places = 1.0 / np.arange(1, width + 1)
    return np.where(real_cells(length, width), places, 0.0).astype(np.float32)
