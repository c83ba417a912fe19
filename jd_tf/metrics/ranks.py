"""Ranks of elements within groups: one sort serves every metric.

Scores of all groups are packed into integers, group number above score, so
that sorting plain integers (much faster than an argsort) sorts every group
at once. AUC and NDCG then need the ranks of the few positive elements alone.
"""

import numpy as np


class RankedScores:
    """Ranks of chosen elements among the elements of their group.

    Ties share a block of positions, so that whoever averages over the block
    gives ties their expected rank, whatever the order of the input. `chosen`
    [P] are indices of [M] scores, higher is better; `groups` [M] are below
    `num_groups` < 2^32. Weighted ranks need `order` [M], groups ascending,
    best first, which costs several times more to keep.
    """

    def __init__(
        self,
        scores: np.ndarray,
        chosen: np.ndarray,
        groups: np.ndarray | None = None,
        num_groups: int = 1,
        keep_order: bool = False,
    ):
        keys = _keys(scores, groups, num_groups)
        wanted = keys[chosen]
        self.order = np.argsort(keys) if keep_order else None
        keys = np.sort(keys) if self.order is None else keys[self.order]
        # Searching in ascending order walks memory forwards.
        ascending = np.argsort(wanted)
        self._first, self._last = np.empty((2, len(wanted)), np.int64)
        wanted = wanted[ascending]
        # Begin and end (exclusive) of each chosen element's block of ties.
        self._first[ascending] = np.searchsorted(keys, wanted, "left")
        self._last[ascending] = np.searchsorted(keys, wanted, "right")
        self._start = np.zeros(len(wanted), np.int64)
        if groups is not None:
            sizes = np.bincount(groups, minlength=num_groups)
            self._start = (np.cumsum(sizes) - sizes)[groups[chosen]]

    def ranks(
        self, weights: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Two [P]: weight above each chosen in its group, and above or tied.

        `weights` are [M] in the order of `order`; 1 each if None.
        """
        if weights is None:
            return self._first - self._start, self._last - self._start
        total = np.zeros(len(weights) + 1)
        np.cumsum(weights, out=total[1:])
        before = total[self._start]
        return total[self._first] - before, total[self._last] - before


def _keys(
    scores: np.ndarray, groups: np.ndarray | None, num_groups: int
) -> np.ndarray:
    """[M] unsigned integers that ascend by group, then from the best score."""
    scores = np.asarray(scores)
    if np.isnan(scores).any():
        raise ValueError(
            f"{int(np.isnan(scores).sum())} of {scores.size} scores are nan."
        )
    if groups is None:
        return _descending(scores)
    if len(groups) != len(scores):
        raise ValueError(f"{len(scores)} scores but {len(groups)} groups.")
    if len(groups) and not 0 <= groups.min() <= groups.max() < num_groups:
        raise ValueError(
            f"groups must lie in 0..{num_groups - 1}. Got: "
            f"{groups.min()}..{groups.max()}."
        )
    keys = groups.astype(np.uint64) << np.uint64(32)
    keys |= _descending(scores)
    return keys


def _descending(scores: np.ndarray) -> np.ndarray:
    """[M] uint32 that ascend as the scores descend, equal where they are."""
    single = scores.astype(np.float32)
    if single.dtype != scores.dtype and not np.array_equal(single, scores):
        # Rounding to single precision would make ties that are none.
        distinct, rank = np.unique(scores, return_inverse=True)
        return (len(distinct) - 1 - rank).astype(np.uint32)
    single += np.float32(0.0)  # -0.0 becomes 0.0, its equal
    bits = single.view(np.uint32)
    sign = np.uint32(0x80000000)
    # IEEE bits of negative numbers descend already; others are turned round.
    return np.where(bits & sign, bits, ~(bits | sign))
