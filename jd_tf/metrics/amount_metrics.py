"""Metrics of expected amounts: dwell, price paid.

Flat arrays of M impressions: `amounts`, what is predicted, and `labels`, what
was seen, [M] >= 0 in one unit; `weights` [M], or None for 1 each. What is
undefined is nan.
"""

import numpy as np
from scipy.special import xlogy

from jd_tf.metrics.ranking_metrics import GroupAuc, group_sum, ratio

# Smaller predictions, as shares of the mean amount, count as this: a label
# above 0 where 0 was expected would be infinitely wrong.
_SMALLEST = 1e-7


def mean_absolute_error(
    amounts: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray | None = None,
) -> float:
    """Mean distance of prediction and label; least of medians, not of means.

    Example:
        >>> mean_absolute_error(np.array([2.0, 4.0]), np.array([0.0, 5.0]))
        1.5
    """
    apart = np.abs(amounts - labels.astype(np.float64))
    return float(np.average(apart, weights=weights)) if len(apart) else np.nan


def amount_ratio(
    amounts: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray | None = None,
) -> float:
    """Mean prediction over mean label; above 1 predicts too much.

    Example:
        >>> amount_ratio(np.array([2.0, 4.0]), np.array([0.0, 5.0]))
        1.2
    """
    weights = np.ones(len(labels)) if weights is None else weights
    predicted = np.sum(amounts * weights, dtype=np.float64)
    return ratio(predicted, np.sum(labels * weights, dtype=np.float64))


def constant_deviance(
    labels: np.ndarray, weights: np.ndarray | None = None
) -> float:
    """Half the mean Poisson deviance of always predicting the mean label.

    Example:
        >>> round(constant_deviance(np.array([0.0, 2.0])), 4)  # log 2
        0.6931
    """
    if not len(labels):
        return float("nan")
    exact = labels.astype(np.float64)
    mean = np.average(exact, weights=weights)
    parts = xlogy(exact, exact / mean if mean > 0 else 1.0)
    return float(np.average(parts, weights=weights))


def relative_deviance(
    amounts: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray | None = None,
) -> float:
    """Poisson deviance over that of always predicting the mean label.

    Below 1 is better than knowing the mean alone; 0 is perfect. It does not
    depend on the unit: to amounts what `normalized_entropy` is to outcomes.

    Example:
        >>> relative_deviance(np.array([1.0, 1.0]), np.array([0.0, 2.0]))
        1.0

    References:
        McCullagh and Nelder, Generalized Linear Models, 2nd edition 1989,
        section 2.3.
    """
    base = constant_deviance(labels, weights)
    if not base > 0:
        return float("nan")
    exact = labels.astype(np.float64)
    least = _SMALLEST * np.average(exact, weights=weights)
    expected = np.maximum(amounts.astype(np.float64), least)
    parts = xlogy(exact, exact / expected) - exact + expected
    return float(np.average(parts, weights=weights) / base)


def group_concordance(
    scores: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    num_groups: int,
    weights: np.ndarray | None = None,
) -> GroupAuc:
    """Share of a group's pairs of different labels that are in their order.

    The AUC of labels of 0 and 1; equal scores count half, and a pair weighs
    the product of its weights. Cost follows the pairs: groups are requests.

    Args:
        scores: [M].
        labels: [M] >= 0.
        groups: [M] int from 0 to `num_groups` - 1.
        num_groups: number of groups G.
        weights: [M] >= 0; 1 each if None.

    Example:
        >>> scores, labels = np.array([3.0, 2.0, 1.0]), np.array([9, 0, 4])
        >>> group_concordance(scores, labels, np.zeros(3, int), 1).mean()
        0.6666666666666666
    """
    weights = np.ones(len(labels)) if weights is None else weights
    order = np.argsort(groups, kind="stable")
    group, score, label, weight = (
        part[order] for part in (groups, scores, labels, weights)
    )
    pairs, right = np.zeros((2, num_groups))
    for shift in range(1, int(np.bincount(group, minlength=1).max())):
        here = np.flatnonzero(group[:-shift] == group[shift:])
        here = here[label[here] != label[here + shift]]
        there, of = here + shift, group[here]
        both = weight[here] * weight[there]
        same = np.sign(label[here] - label[there])
        same = same * np.sign(score[here] - score[there])
        pairs += np.bincount(of, both, num_groups)
        right += np.bincount(of, both * (1 + same) / 2, num_groups)
    value = np.divide(
        right, pairs, out=np.full(num_groups, np.nan), where=pairs > 0
    )
    return GroupAuc(value, group_sum(weights, groups, num_groups, len(labels)))
