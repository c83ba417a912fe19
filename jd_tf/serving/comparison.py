"""Whether two answers are the same answer."""

from collections.abc import Mapping

import numpy as np

from jd_tf.serving.errors import ExportError

# Sums in another order differ by a few times float32's 1.2e-7.
TOLERANCE = 1e-5
# Below this share of a tensor's largest value, differences count against it:
# what cancels to nearly zero has no relative precision to lose.
_FLOOR = 1e-2


def difference(expected: np.ndarray, actual: np.ndarray) -> float:
    """The largest relative difference of two tensors, element by element.

    Relative to the expected value, or to a hundredth of the tensor's largest
    where that is more. Infinite where shapes, types, whole numbers or texts
    differ, and where a number is not finite.
    """
    same_kind = (
        expected.shape == actual.shape and expected.dtype == actual.dtype
    )
    if not same_kind:
        return np.inf
    if expected.dtype.kind != "f":
        return 0.0 if np.array_equal(expected, actual) else np.inf
    if not expected.size:
        return 0.0
    if not (np.isfinite(expected).all() and np.isfinite(actual).all()):
        return np.inf
    size = np.abs(expected.astype("float64"))
    scale = np.maximum(size, _FLOOR * size.max())
    error = np.abs(expected.astype("float64") - actual)
    return float(np.max(error / np.where(scale > 0, scale, 1.0)))


def check_equal(
    expected: Mapping[str, np.ndarray],
    actual: Mapping[str, np.ndarray],
    what: str,
    tolerance: float = TOLERANCE,
) -> float:
    """Compares answers tensor by tensor.

    Args:
        expected: arrays by name.
        actual: arrays by the same names.
        what: what is compared, for the message.
        tolerance: the largest relative difference let through.

    Returns:
        The largest difference found.

    Raises:
        ExportError: naming the tensor that differs most and by how much.
    """
    if set(expected) != set(actual):
        raise ExportError(
            f"{what}: answered {sorted(actual)}, should be {sorted(expected)}."
        )
    worst, name = max(
        (difference(expected[name], actual[name]), name) for name in expected
    )
    if not worst <= tolerance:
        raise ExportError(
            f"{what}: `{name}` differs by {worst:.2g} relatively, allowed is "
            f"{tolerance:.2g}."
        )
    return worst
