"""Calibration of probabilities.

Flat arrays of M impressions: `probabilities` and `labels` [M], `weights` [M]
or None for 1 each. What is undefined is nan.
"""

from typing import NamedTuple

import numpy as np

from jd_tf.metrics.ranking_metrics import binary

# The least distance from 0 and 1 that single precision tells apart from 1.
_EPSILON = 1e-7


class Reliability(NamedTuple):
    """Predicted against observed, in bins of equal weight.

    Attributes:
        predicted: [K] mean probability in the bin.
        observed: [K] mean label in the bin.
        weight: [K] share of all weight, summing to 1.

    Example:
        >>> import numpy as np
        >>> bins = reliability(np.array([0.25, 0.75]), np.array([0.0, 1.0]))
        >>> bins.predicted.tolist(), bins.observed.tolist()
        ([0.25, 0.75], [0.0, 1.0])
    """

    predicted: np.ndarray
    observed: np.ndarray
    weight: np.ndarray


def log_loss(
    probabilities: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray | None = None,
) -> float:
    """Mean cross entropy in nats, probabilities kept off 0 and 1 by 1e-7.

    Example:
        >>> import numpy as np
        >>> round(log_loss(np.array([0.5, 0.5]), np.array([0.0, 1.0])), 4)
        0.6931
    """
    positive = binary(labels)
    _check(probabilities)
    if not len(positive):
        return float("nan")
    right = np.where(positive, probabilities, 1.0 - probabilities)
    losses = -np.log(np.clip(right.astype(np.float64), _EPSILON, 1 - _EPSILON))
    return float(np.average(losses, weights=weights))


def normalized_entropy(
    probabilities: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray | None = None,
) -> float:
    """Log loss over that of always predicting the mean label.

    Below 1 is better than knowing the mean alone; 0 is perfect. nan where
    there is one class only.

    Example:
        >>> import numpy as np
        >>> normalized_entropy(np.array([0.5, 0.5]), np.array([0.0, 1.0]))
        1.0

    References:
        Xinran He et al., "Practical Lessons from Predicting Clicks on Ads at
        Facebook", ADKDD 2014.
    """
    positive = binary(labels)
    if not len(positive) or positive.all() or not positive.any():
        return float("nan")
    rate = np.average(positive, weights=weights)
    base = -rate * np.log(rate) - (1 - rate) * np.log1p(-rate)
    return float(log_loss(probabilities, labels, weights) / base)


def calibration_ratio(
    probabilities: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray | None = None,
) -> float:
    """Mean prediction over mean label; above 1 predicts too much.

    Example:
        >>> import numpy as np
        >>> calibration_ratio(np.array([0.6, 0.6]), np.array([0.0, 1.0]))
        1.2
    """
    positive = binary(labels)
    _check(probabilities)
    if not positive.any():
        return float("nan")
    predicted = np.average(probabilities.astype(np.float64), weights=weights)
    return float(predicted / np.average(positive, weights=weights))


def reliability(
    probabilities: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray | None = None,
    num_bins: int = 20,
) -> Reliability:
    """Bins by quantiles of the prediction; equal predictions stay together.

    Args:
        probabilities: [M].
        labels: [M] of 0 and 1.
        weights: [M] > 0; 1 each if None.
        num_bins: bins at most; fewer where predictions tie.
    """
    positive = binary(labels)
    _check(probabilities)
    if not len(positive):
        return Reliability(*(np.zeros(0) for _ in range(3)))
    if weights is None:
        ordered = np.sort(probabilities)
        places = np.arange(1, num_bins) * len(ordered) // num_bins
    else:
        order = np.argsort(probabilities)
        ordered = probabilities[order]
        total = np.cumsum(weights[order])
        shares = np.arange(1, num_bins) / num_bins
        places = np.searchsorted(total, shares * total[-1])
    edges, hits = np.unique(ordered[places], return_counts=True)
    # A prediction that fills several bins alone must not swallow the rest.
    crowded = np.nextafter(edges[hits > 1], np.inf, dtype=edges.dtype)
    edges = np.union1d(edges, crowded)
    bins = np.searchsorted(edges, probabilities, side="right")
    weight = np.bincount(bins, weights, minlength=len(edges) + 1)
    some = weight > 0
    sums = [
        np.bincount(
            bins,
            values if weights is None else values * weights,
            minlength=len(edges) + 1,
        )[some]
        for values in (probabilities.astype(np.float64), positive)
    ]
    weight = weight[some]
    predicted, observed = (sum_ / weight for sum_ in sums)
    return Reliability(predicted, observed, weight / weight.sum())


def calibration_error(
    probabilities: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray | None = None,
    num_bins: int = 20,
) -> float:
    """Expected calibration error over bins of equal weight.

    Mean distance between predicted and observed rate. Of a perfectly
    calibrated system it is not 0 but the noise of the observed rates.

    Example:
        >>> import numpy as np
        >>> calibration_error(np.array([0.25, 0.75]), np.array([0.0, 1.0]))
        0.25
    """
    bins = reliability(probabilities, labels, weights, num_bins)
    if not len(bins.weight):
        return float("nan")
    return float(bins.weight @ np.abs(bins.predicted - bins.observed))


def _check(probabilities: np.ndarray) -> None:
    """Raises a ValueError for what is no probability."""
    if len(probabilities) and not (
        probabilities.min() >= 0 and probabilities.max() <= 1
    ):
        raise ValueError(
            "probabilities must lie in [0, 1]. Got: "
            f"{probabilities.min()}..{probabilities.max()}."
        )
