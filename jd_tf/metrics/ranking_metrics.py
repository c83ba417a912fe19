"""Ranking metrics on flat arrays of impressions, vectorised over groups.

Every function takes M impressions: `scores` [M], higher is better; `labels`
[M] of 0 and 1 or `gains` [M] >= 0; `groups` [M], the number of the request or
user each belongs to. Leave out impressions that are padding or outside the
objective's sample space beforehand (`jd_tf.metrics.cells` does).

Ties count as their expectation over random tie-breaking. What is undefined
is nan: never 1, never 0.5.
"""

from typing import NamedTuple

import numpy as np

from jd_tf.metrics.ranks import RankedScores


class GroupAuc(NamedTuple):
    """AUC of every group.

    Attributes:
        value: [G], nan where a group has one class only.
        weight: [G], total weight of the group's impressions.

    Example:
        >>> import numpy as np
        >>> GroupAuc(np.array([1.0, np.nan, 0.5]), np.array([1, 5, 3])).mean()
        0.625
    """

    value: np.ndarray
    weight: np.ndarray

    @property
    def defined(self) -> np.ndarray:
        """[G] bool, True where the group has both classes."""
        return ~np.isnan(self.value)

    def mean(self) -> float:
        """Mean over the groups of two classes, weighted; nan if none."""
        weight = self.weight * self.defined
        return ratio(np.nansum(self.value * weight), weight.sum())


def auc(
    scores: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None
) -> float:
    """Probability that a positive scores above a negative, ties half.

    `weights` [M] >= 0 are 1 each if None; nan where there is one class only.

    Example:
        >>> import numpy as np
        >>> auc(np.array([0.1, 0.4, 0.3, 0.8]), np.array([0, 0, 1, 1]))
        0.75
    """
    return float(group_auc(scores, labels, weights=weights).value[0])


def group_auc(
    scores: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray | None = None,
    num_groups: int = 1,
    weights: np.ndarray | None = None,
) -> GroupAuc:
    """AUC within every group; its `mean()` is GAUC.

    GAUC weighs groups by impressions and leaves out those of one class.

    Args:
        scores: [M].
        labels: [M] of 0 and 1.
        groups: [M] int from 0 to `num_groups` - 1; one group if None.
        num_groups: number of groups G.
        weights: [M] >= 0; 1 each if None.

    Example:
        >>> import numpy as np
        >>> scores, labels = np.array([0.1, 0.4, 0.3]), np.array([0, 1, 1])
        >>> found = group_auc(scores, labels, np.array([0, 0, 1]), 2)
        >>> found.value.tolist(), found.mean()
        ([1.0, nan], 1.0)

    References:
        Han Zhu et al., "Optimized Cost per Click in Taobao Display
        Advertising", KDD 2017.
    """
    positive = binary(labels)
    chosen = np.flatnonzero(positive)
    ranking = RankedScores(
        scores, chosen, groups, num_groups, keep_order=weights is not None
    )
    weight = group_sum(weights, groups, num_groups, len(positive))
    mine = None if groups is None else groups[chosen]
    own = None if weights is None else weights[chosen]
    positives = group_sum(own, mine, num_groups, len(chosen))
    above, through = ranking.ranks(
        None if weights is None else weights[ranking.order]
    )
    middle = 0.5 * (above + through)
    middle = middle if own is None else middle * own
    above = group_sum(middle, mine, num_groups, len(chosen))
    return GroupAuc(auc_from_ranks(above, positives, weight), weight)


def auc_from_ranks(
    above: np.ndarray, positives: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    """[G] AUC by Mann and Whitney's formula, of ranks summed over positives."""
    pairs = positives * (weight - positives)
    # Of two positives one stands above the other, or they tie and each counts
    # half: all pairs among positives, own half included, make P^2 / 2.
    worse = above - 0.5 * positives**2
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(pairs > 0, 1.0 - worse / pairs, np.nan)


def group_ndcg(
    scores: np.ndarray,
    gains: np.ndarray,
    groups: np.ndarray | None = None,
    num_groups: int = 1,
    k: int = 10,
) -> np.ndarray:
    """NDCG of the first k of every group.

    Discount 1 / log2(1 + place), gains as they are; tied elements share the
    mean discount of their places. Where a group has gains below 0, of bad
    outcomes, its least is taken off all of them.

    Args:
        scores: [M].
        gains: [M]: business value, or the label.
        groups: [M] int from 0 to `num_groups` - 1; one group if None.
        num_groups: number of groups G.
        k: places that count.

    Returns:
        [G], nan for groups without gain: every order of those is as good.

    Example:
        >>> import numpy as np
        >>> scores, gains = np.array([2.0, 1.0, 5.0]), np.array([0, 1, 0])
        >>> group_ndcg(scores, gains, np.array([0, 0, 1]), 2).round(4).tolist()
        [0.6309, nan]

    References:
        Kalervo Järvelin and Jaana Kekäläinen, "Cumulated Gain-Based
        Evaluation of IR Techniques", TOIS 2002. Frank McSherry and Marc
        Najork, "Computing Information Retrieval Performance Measures
        Efficiently in the Presence of Tied Scores", ECIR 2008.
    """
    discounts = 1.0 / np.log2(np.arange(2, k + 2))
    gains = from_zero(np.asarray(gains), groups, num_groups)
    got = _group_gain(scores, gains, groups, num_groups, discounts)
    # What has no gain comes last in the ideal order and adds nothing to it.
    some = np.flatnonzero(gains)
    mine = None if groups is None else groups[some]
    best = gains[some]
    ideal = _group_gain(best, best, mine, num_groups, discounts)
    with np.errstate(invalid="ignore"):
        return np.where(ideal > 0, got / ideal, np.nan)


def from_zero(
    gains: np.ndarray, groups: np.ndarray | None = None, num_groups: int = 1
) -> np.ndarray:
    """[M] gains >= 0: less the least of their group where that is below 0."""
    if not np.isfinite(gains).all():
        raise ValueError("gains must be finite.")
    if not len(gains) or gains.min() >= 0:
        return gains
    mine = np.zeros(len(gains), int) if groups is None else groups
    least = np.zeros(num_groups)
    np.minimum.at(least, mine, gains)
    return gains - least[mine]


def ndcg(
    scores: np.ndarray,
    gains: np.ndarray,
    groups: np.ndarray | None = None,
    num_groups: int = 1,
    k: int = 10,
) -> float:
    """Mean of `group_ndcg` over the groups with gain; nan if none has any.

    Example:
        >>> import numpy as np
        >>> ndcg(np.array([2.0, 1.0]), np.array([3.0, 0.0]))
        1.0
    """
    return mean_defined(group_ndcg(scores, gains, groups, num_groups, k))


def group_gain_at(
    scores: np.ndarray,
    gains: np.ndarray,
    groups: np.ndarray | None = None,
    num_groups: int = 1,
    k: int = 1,
) -> np.ndarray:
    """[G] gain among the first k of every group, undiscounted.

    Arguments are those of `group_ndcg`; tied elements share the gain of their
    places.

    Example:
        >>> import numpy as np
        >>> group_gain_at(np.array([2.0, 1.0]), np.array([3.0, 1.0])).tolist()
        [3.0]
    """
    return _group_gain(scores, gains, groups, num_groups, np.ones(k))


def group_reciprocal_rank(
    scores: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray | None = None,
    num_groups: int = 1,
) -> np.ndarray:
    """[G] 1 / place of the positive of every group; their mean is MRR.

    Arguments are those of `group_auc`. A tied positive gets the mean over the
    places it shares, so constant scores are worth what chance is. nan for
    groups without exactly one positive.

    Example:
        >>> import numpy as np
        >>> scores, labels = np.array([2.0, 1.0, 1.0]), np.array([0, 1, 0])
        >>> group_reciprocal_rank(scores, labels).round(4).tolist()
        [0.4167]
    """
    positives = group_sum(binary(labels), groups, num_groups, len(labels))
    inverse = 1.0 / np.arange(1, len(labels) + 1)
    got = _group_gain(scores, labels, groups, num_groups, inverse)
    return np.where(positives == 1, got, np.nan)


def mean_defined(values: np.ndarray) -> float:
    """Mean of what is not nan; nan if nothing is."""
    return ratio(np.nansum(values), float(np.count_nonzero(~np.isnan(values))))


def ratio(numerator: float, denominator: float) -> float:
    """A quotient, nan unless the denominator is positive."""
    return float(numerator / denominator) if denominator > 0 else float("nan")


def group_sum(
    values: np.ndarray | None,
    groups: np.ndarray | None,
    num_groups: int,
    count: int,
) -> np.ndarray:
    """[G] float64 sums of values ([M], or 1 each of `count` if None)."""
    if groups is None:
        total = count if values is None else np.sum(values, dtype=np.float64)
        return np.array([total], np.float64)
    sums = np.bincount(groups, values, minlength=num_groups)
    return sums.astype(np.float64, copy=False)


def binary(labels: np.ndarray) -> np.ndarray:
    """[M] bool from labels of 0 and 1; a ValueError names any other."""
    labels = np.asarray(labels)
    positive = labels == 1
    odd = ~(positive | (labels == 0))
    if odd.any():
        raise ValueError(f"labels must be 0 or 1. Got: {labels[odd][0]}.")
    return positive


def _group_gain(
    scores: np.ndarray,
    gains: np.ndarray,
    groups: np.ndarray | None,
    num_groups: int,
    discounts: np.ndarray,
) -> np.ndarray:
    """[G] gain times discount of the place, summed over each group."""
    gains = np.asarray(gains)
    if not np.isfinite(gains).all():
        raise ValueError("gains must be finite.")
    chosen = np.flatnonzero(gains)
    ranking = RankedScores(scores, chosen, groups, num_groups)
    first, last = ranking.ranks()
    total = np.concatenate([[0.0], np.cumsum(discounts)])
    end = len(discounts)
    shared = total[np.minimum(last, end)] - total[np.minimum(first, end)]
    discounted = gains[chosen] * shared / (last - first)
    mine = None if groups is None else groups[chosen]
    return group_sum(discounted, mine, num_groups, len(chosen))
