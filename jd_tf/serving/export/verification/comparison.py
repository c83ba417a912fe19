"""Compares answers, tensor by tensor."""

from collections.abc import Mapping

import numpy as np

from jd_tf.serving.errors import ExportError
from jd_tf.serving.signature_names import LOWEST_SCORE

# A sound float32 model reloads to within a tenth of this: a graph sums in
# another order than eager code does.
TOLERANCE = 1e-5
# Outputs whose channels (last axis) are measured each by itself, so that a
# rare objective is not hidden behind a frequent one.
_BY_CHANNEL = ("probabilities",)


def difference(
    expected: np.ndarray, actual: np.ndarray, by_channel: bool = False
) -> float:
    """Returns the largest difference, relative to the largest value.

    Scores of padding are no values; both have them in the same places.
    """
    if expected.shape != actual.shape or expected.dtype != actual.dtype:
        return np.inf
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
    worst, name = max(
        (difference(expected[name], actual[name], name in _BY_CHANNEL), name)
        for name in expected
    )
    if not worst <= tolerance:
        raise ExportError(
            f"{what}: `{name}` differs by {worst:.2g} relatively, allowed is "
            f"{tolerance:.2g}. Allow a larger tolerance only for a model of "
            "very large activations."
        )
    return worst
