"""Random numbers that depend on keys alone."""

from typing import Any, Protocol

import numpy as np
from scipy import stats

from jd_tf.data.simulator.people.outcome import mix


class Draws(Protocol):
    """The part of a NumPy generator that actions of users are drawn by."""

    def random(self, size: Any) -> np.ndarray:
        """Draws from [0, 1)."""

    def logistic(self, *, scale: float, size: Any) -> np.ndarray:
        """Draws logistic numbers around 0."""

    def poisson(self, lam: np.ndarray) -> np.ndarray:
        """Draws counts of given means."""


class KeyedDraws:
    """Draws for a table of keys; what one key gets, no other key changes.

    The n-th call draws the n-th numbers of each key, whatever place a key has
    in the table: common random numbers for lists that hold the same items.

    Args:
        keys: (R, N) uint64.

    Example:
        >>> one, two = np.array([[3, 4]], "u8"), np.array([[4, 9, 3]], "u8")
        >>> first = KeyedDraws(one).random((1, 2))
        >>> bool(first[0, 0] == KeyedDraws(two).random((1, 3))[0, 2])
        True
    """

    def __init__(self, keys: np.ndarray):
        self._keys, self._drawn = keys, 0

    def random(self, size: Any) -> np.ndarray:
        """Returns numbers in [0, 1) of a size (R, N) or (R, N, K)."""
        count = int(np.prod(size[2:]))
        streams = np.arange(self._drawn, self._drawn + count, dtype=np.uint64)
        self._drawn += count
        bits = mix(mix(self._keys)[..., None] + streams)
        return ((bits >> np.uint64(11)) * 2.0**-53).reshape(size)

    def logistic(self, *, scale: float, size: Any) -> np.ndarray:
        """Returns logistic numbers around 0 of a size (R, N)."""
        # Never 0, of which the quantile is infinite.
        uniform = self.random(size) + 2.0**-54
        return scale * (np.log(uniform) - np.log1p(-uniform))

    def poisson(self, lam: np.ndarray) -> np.ndarray:
        """Returns counts of given means (R, N, K)."""
        return stats.poisson.ppf(self.random(lam.shape), lam)
