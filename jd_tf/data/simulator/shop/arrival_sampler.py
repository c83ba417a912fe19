"""Draws items among those that have arrived at a given time."""

import numpy as np


class ArrivalSampler:
    """Draws items of a group, by weight, among those that have arrived.

    Items are laid out by group and, within it, by arrival, with running sums
    of weights; then "arrived by now" is one binary search and a draw another,
    for any number of draws at once.

    Args:
        group: (items,) int, the group of each item, from 0.
        arrival_time: (items,) float, seconds.
        weight: (items,) float, positive.
    """

    def __init__(
        self, group: np.ndarray, arrival_time: np.ndarray, weight: np.ndarray
    ):
        self._order = np.lexsort((arrival_time, group))
        self._first_time = arrival_time.min()
        # Groups lie this far apart on the line of keys.
        self._span = 10.0 * (arrival_time.max() - self._first_time + 1.0)
        self._keys = self._key(group[self._order], arrival_time[self._order])
        sums = np.cumsum(weight[self._order])
        self._sums = np.concatenate([[0.0], sums])

    def _key(self, group: np.ndarray, time: np.ndarray) -> np.ndarray:
        since = np.clip(time - self._first_time, 0.0, 0.5 * self._span)
        return group * self._span + since

    def draw(
        self,
        group: np.ndarray,
        since: np.ndarray,
        until: np.ndarray,
        uniform: np.ndarray,
    ) -> np.ndarray:
        """Draws one item for each group and time.

        Args:
            group: (draws,) int.
            since: (draws,) float. Items that arrived before are left out.
            until: (draws,) float. Items that arrive later are left out.
            uniform: (draws,) float in [0, 1), the randomness.

        Returns:
            (draws,) int, item numbers, -1 where there is none.
        """
        first = np.searchsorted(self._keys, self._key(group, since), "left")
        end = np.searchsorted(self._keys, self._key(group, until), "right")
        low, high = self._sums[first], self._sums[end]
        place = np.searchsorted(
            self._sums, low + uniform * (high - low), "right"
        )
        place = np.clip(place - 1, first, np.maximum(end - 1, first))
        found = self._order[np.minimum(place, len(self._order) - 1)]
        return np.where(end > first, found, -1)
