"""Greedy inference of a determinantal point process, with a window."""

import numpy as np

from jd_tf.pipeline.reranking.item_likeness import Likeness

# A squared distance below is rounding: the item is in the span of the shown.
_LEAST = 1e-10


class DeterminantalProcess:
    """Values items by relevance and by the volume they add to the shown.

    The kernel is S_ij = (1 - s) likeness_ij off the diagonal and S_ii = 1,
    where s = `own_share` is what every item has for itself alone. With W the
    items of the last `window` - 1 places,

        gain_i = w r_i + (1 - w) log(det S_{W + i} / det S_W)

    and -inf where that ratio is 0. This is greedy MAP inference of the process
    with L_ij = q_i S_ij q_j and q = exp(w r / (2 (1 - w))). The determinants
    are never computed: rows of an incremental Cholesky factor are kept for
    all N items, and an item that leaves the window is taken out by a
    reflection that turns its own direction into one row. A place costs
    O(N window) and a row of the likeness; without a window O(N places).

    Args:
        relevance: (N,) r.
        likeness: of the N items.
        relevance_weight: w from 0 to 1.
        window: places, the next one included, that must differ; 0 for all.
        own_share: s from 0 to 1. With 0 no item equal to a shown one, or in
            the span of the shown, has a finite gain.
        most: items added at most; needed without a window.

    Example:
        >>> import numpy as np
        >>> from jd_tf.pipeline.reranking.item_likeness import SharedIds
        >>> category = SharedIds([np.array([5, 5, 6])])
        >>> relevance = np.array([1.0, 0.9, 0.8])
        >>> values = DeterminantalProcess(relevance, category, 0.5, most=3)
        >>> values.add(0)
        >>> values.gains()[1:].tolist()
        [-inf, 0.4]

    References:
        Laming Chen, Guoxin Zhang and Hanning Zhou, "Fast Greedy MAP Inference
        for Determinantal Point Process to Improve Recommendation Diversity",
        NeurIPS 2018, arXiv 1709.05135.
    """

    def __init__(
        self,
        relevance: np.ndarray,
        likeness: Likeness,
        relevance_weight: float,
        window: int = 0,
        own_share: float = 0.0,
        most: int = 0,
    ):
        self._likeness = likeness
        self._worth = relevance_weight * relevance
        self._weight = 1.0 - relevance_weight
        self._own_share = own_share
        # Of the next item the window has `window` - 1 before it.
        self._capacity = max(window - 1, 0) if window else most
        count = len(relevance)
        # Column i solves V c_i = S_{W, i}, V the Cholesky factor of S_W, up
        # to a rotation, which changes no inner product.
        self._factors = np.zeros((self._capacity, count))
        self._distances = np.ones(count)  # d_i^2 = S_ii - |c_i|^2
        self._shown: list[int] = []  # items of W by their row
        self._next = 0

    def gains(self) -> np.ndarray:
        """Returns (N,) what each item adds next; -inf if it adds no volume."""
        if not self._weight:
            return self._worth.copy()
        least = self._distances > _LEAST
        volume = np.log(self._distances, where=least, out=np.zeros(len(least)))
        gain = self._worth + self._weight * volume
        gain[~least] = -np.inf
        return gain

    def add(self, item: int) -> None:
        """Shows an item at the next place."""
        if not self._capacity:
            return
        row = self._next
        if len(self._shown) == self._capacity:
            self._remove(row)
        distance = self._distances[item]
        if distance <= _LEAST:
            # It spans nothing new: an empty row stands for it.
            self._factors[row] = 0.0
        else:
            mine = self._likeness.row(item)
            mine *= 1.0 - self._own_share
            mine[item] = 1.0
            mine -= self._factors[:, item] @ self._factors
            mine /= np.sqrt(distance)
            self._factors[row] = mine
            self._distances -= mine * mine
        self._shown[row : row + 1] = [item]
        self._next = (row + 1) % self._capacity

    def _remove(self, row: int) -> None:
        """Takes the oldest item out; its `row` is free then.

        The unit vector u that is orthogonal to the columns of all other shown
        items is what only the oldest one spans. A Householder reflection
        turns u into the axis of `row`; there every other shown item is 0.
        """
        within = self._factors[:, self._shown]
        spanned = np.abs(within).max(axis=1) > 0
        if not spanned[row]:
            return
        system = within[np.ix_(spanned, spanned)]
        first = int(np.count_nonzero(spanned[:row]))
        target = np.zeros(len(system))
        target[first] = 1.0
        u = np.linalg.solve(system.T, target)
        u /= np.linalg.norm(u)
        # Away from the axis, so that nothing cancels.
        u[first] += 1.0 if u[first] >= 0 else -1.0
        u /= np.linalg.norm(u)
        rows = self._factors[spanned]
        rows -= 2.0 * np.outer(u, u @ rows)
        self._distances += rows[first] ** 2
        self._factors[spanned] = rows
        self._factors[row] = 0.0
