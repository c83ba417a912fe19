"""Compares answers, tensor by tensor."""

from collections.abc import Mapping

import numpy as np

from jd_tf.serving.errors import ExportError
from jd_tf.serving.signature_names import AMOUNTS, ITEM_ID, LOWEST_SCORE

# A sound float32 model reloads to within a tenth of this: a graph sums in
# another order than eager code does.
TOLERANCE = 1e-5
# Outputs whose channels (last axis) are measured each by itself, so that a
# rare objective is not hidden behind a frequent one.
_BY_CHANNEL = ("probabilities", AMOUNTS)


def difference(
    expected: np.ndarray, actual: np.ndarray, by_channel: bool = False
) -> float:
    """Returns the largest difference, relative to the largest value.

    Scores of padding are no values; both have them in the same places.
    """
    if expected.shape != actual.shape or expected.dtype != actual.dtype:
        return np.inf
    if expected.dtype == "bfloat16":
        # No float to NumPy.
        expected, actual = (a.astype("float32") for a in (expected, actual))
    if expected.dtype.kind != "f":
        return 0.0 if np.array_equal(expected, actual) else np.inf
    if not expected.size:
        return 0.0
    if not (np.isfinite(expected).all() and np.isfinite(actual).all()):
        return np.inf
    padding = expected == LOWEST_SCORE
    if not np.array_equal(padding, actual == LOWEST_SCORE):
        return np.inf
    exact = np.where(padding, 0.0, expected.astype("float64"))
    axes = tuple(range(expected.ndim - 1)) if by_channel else None
    scale = np.max(np.abs(exact), axis=axes, keepdims=True)
    error = np.abs(exact - np.where(padding, 0.0, actual))
    return float(np.max(error / np.where(scale > 0, scale, 1.0)))


def moved_items(
    expected: Mapping[str, np.ndarray], actual: Mapping[str, np.ndarray]
) -> float:
    """Returns by how much scores would have to move for lists to be equal.

    Two items whose scores are a rounding apart may change places, or the last
    one fall out. Relative to the largest score.

    Args:
        expected: `item_id` (B, K) and `score` (B, K) of found items.
        actual: likewise.
    """
    scores = expected["score"], actual["score"]
    if scores[0].shape != scores[1].shape:
        return np.inf
    worst = 0.0
    for ids, score, other_ids, other in zip(
        expected[ITEM_ID], scores[0], actual[ITEM_ID], scores[1], strict=True
    ):
        mine, theirs = (
            {
                item: float(value)
                for item, value in zip(*pair, strict=True)
                if value != LOWEST_SCORE
            }
            for pair in ((ids.tolist(), score), (other_ids.tolist(), other))
        )
        if len(mine) != len(theirs):
            return np.inf
        for here, there in ((mine, theirs), (theirs, mine)):
            last = min(there.values(), default=0.0)
            scale = max(map(abs, there.values()), default=0.0) or 1.0
            for item, value in here.items():
                gap = abs(value - there.get(item, last)) / scale
                worst = max(worst, gap)
    return worst


def check_equal(
    expected: Mapping[str, np.ndarray],
    actual: Mapping[str, np.ndarray],
    what: str,
    tolerance: float = TOLERANCE,
) -> float:
    """Compares the outputs of two calls."""
    if set(expected) != set(actual):
        raise ExportError(
            f"{what}: answered {sorted(actual)}, should be {sorted(expected)}."
        )
    of_items = {ITEM_ID, "score"} <= expected.keys()
    worst, name = max(
        (
            moved_items(expected, actual)
            if of_items and name == ITEM_ID
            else difference(expected[name], actual[name], name in _BY_CHANNEL),
            name,
        )
        for name in expected
    )
    if not worst <= tolerance:
        raise ExportError(
            f"{what}: `{name}` differs by {worst:.2g} relatively, allowed is "
            f"{tolerance:.2g}. Allow a larger tolerance only for a model of "
            "very large activations."
        )
    return worst
