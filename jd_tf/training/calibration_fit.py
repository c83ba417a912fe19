"""Calibration curves from predictions and outcomes, by scikit-learn."""

from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from jd_tf.metrics.calibration_metrics import calibration_ratio
from jd_tf.metrics.ranking_metrics import binary

# Curves rise at least so steeply: a plateau would tie its candidates.
MIN_SLOPE = 0.02
# Variance of the outcomes a knot stands for: about so many positives, where
# they are rare.
_KNOT_VARIANCE = 10.0
# Knots closer than this are one.
_MIN_GAP = 1e-3
# Fewer outcomes of a class do not determine the slope, or what is not straight.
_LEAST_OUTCOMES, _LEAST_ISOTONIC = 20, 100
# Where the straight line of a Platt curve ends, in logits.
_LINE_END = 20.0
# Probabilities closer to 0 and 1 than single precision distinguishes from 1.
_EPSILON = 1e-7


class FittedCurve(NamedTuple):
    """A rising piecewise-linear map of logits, slope 1 outside its knots.

    Attributes:
        knots_in: [K] logits, strictly rising; none for the identity.
        knots_out: [K] calibrated logits, strictly rising.
        num_impressions: number of impressions it was fitted on.
        num_positives: of those.
        note: a remark for a person; "" if none.
    """

    knots_in: np.ndarray
    knots_out: np.ndarray
    num_impressions: int
    num_positives: int
    note: str = ""

    @property
    def knots(self) -> tuple[np.ndarray, np.ndarray]:
        """Knots as `CalibrationCurve.assign_curves` takes them."""
        return self.knots_in, self.knots_out

    def apply(self, logits: np.ndarray) -> np.ndarray:
        """Returns calibrated logits, of the shape of `logits`."""
        if not len(self.knots_in):
            return logits
        shifts = self.knots_out - self.knots_in
        return logits + np.interp(logits, self.knots_in, shifts)


def fit_curves(
    logits: np.ndarray,
    labels: np.ndarray,
    label_weights: np.ndarray,
    method: str = "isotonic",
    num_knots: int = 32,
) -> list[FittedCurve]:
    """Returns a curve for each objective, over its own sample space.

    Fit on requests the ranker did not learn from, and not on those the
    result is reported on. Arrays are [M, T]; cells of weight 0 are outside
    the sample space and are not read. Other arguments as for `fit_curve`.
    """
    curves = []
    for columns in zip(logits.T, labels.T, label_weights.T, strict=True):
        logit, label, weight = (column[columns[2] > 0] for column in columns)
        curves.append(fit_curve(logit, label, weight, method, num_knots))
    return curves


def held_out_ratios(
    logits: np.ndarray,
    labels: np.ndarray,
    label_weights: np.ndarray,
    method: str = "isotonic",
    num_knots: int = 32,
) -> list[tuple[float, int]]:
    """Returns for each objective how well such curves hold on other data.

    Curves of the first half of the cells are applied to the second: mean
    prediction over mean label there, nan without a positive, and the number
    of its positives. Arguments as for `fit_curves`.
    """
    half = len(logits) // 2
    cells = logits, labels, label_weights
    first, second = slice(half), slice(half, None)
    fitted = logits[first], labels[first], label_weights[first]
    curves = fit_curves(*fitted, method, num_knots)
    ratios = []
    for index, curve in enumerate(curves):
        logit, label, weight = (part[second, index] for part in cells)
        inside = weight > 0
        predicted = _chances(curve.apply(logit[inside]))
        ratio = calibration_ratio(predicted, label[inside], weight[inside])
        ratios.append((ratio, int(np.count_nonzero(label[inside]))))
    return ratios


def fit_curve(
    logits: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray | None = None,
    method: str = "isotonic",
    num_knots: int = 32,
) -> FittedCurve:
    """Returns the curve of one objective.

    Platt: a straight line of logits, scale and offset by scikit-learn's
    logistic regression; temperature: the scale alone. Isotonic: the Platt
    line first, then scikit-learn's isotonic regression of labels on it,
    smoothed: its steps are averaged over bins of equal outcome variance, and
    each bin becomes a knot at (logit of the mean prediction, logit of the
    mean outcome). Bins hold the variance of about ten positives or more, so
    thin data gets few knots; where the line fits, the knots lie on it, and
    where there is no data it goes on. With fewer than a hundred outcomes of a
    class it stays the line. Fewer than twenty determine no slope: then all
    logits are shifted to the mean outcome. All curves rise everywhere, so
    rankings and AUC stay.

    Args:
        logits: [M] finite.
        labels: [M] of 0 and 1.
        weights: [M] > 0; 1 each if None.
        method: `"isotonic"`, `"platt"` or `"temperature"`.
        num_knots: knots at most, >= 4.

    Example:
    >>> logits, labels = np.tile([-1.0, 1.0], 500), np.tile([0, 1, 1, 1], 250)
    >>> curve = fit_curve(logits, labels, method="platt")
    >>> shifts = curve.knots_out - curve.knots_in
    >>> mended = 1.0 + np.interp(1.0, curve.knots_in, shifts)
    >>> bool(mended > 5)
    True
    """
    positive = binary(labels)
    count, hits = len(positive), int(np.count_nonzero(positive))
    if hits in (0, count):
        note = "outcomes of one class only: left as it was"
        return FittedCurve(np.zeros(0), np.zeros(0), count, hits, note)
    logits = np.asarray(logits, np.float64)
    weights = np.ones(count) if weights is None else weights.astype(np.float64)
    slope, offset, note = _line(logits, positive, weights, method)
    into = np.array([-_LINE_END, _LINE_END])
    out = slope * into + offset
    if method == "isotonic" and min(hits, count - hits) < _LEAST_ISOTONIC:
        note = note or "few outcomes of a class: a straight line"
    elif method == "isotonic":
        knots, shifts = _isotonic(
            slope * logits + offset, positive, weights, num_knots - 2
        )
        # Beyond its knots the curve goes on as the line does.
        within = (np.abs((knots - offset) / slope)) < _LINE_END - _MIN_GAP
        knots, shifts = knots[within], shifts[within]
        if len(knots):
            into = np.insert(into, 1, (knots - offset) / slope)
            shifts = shifts[[0, *range(len(shifts)), -1]]
            out = slope * into + offset + shifts
    return FittedCurve(into, out, count, hits, note)


def logits_of(probabilities: np.ndarray) -> np.ndarray:
    """Returns logits of probabilities that are kept off 0 and 1 by 1e-7."""
    inside = np.clip(probabilities, _EPSILON, 1 - _EPSILON, dtype=np.float64)
    return np.log(inside) - np.log1p(-inside)


def _line(
    logits: np.ndarray, positive: np.ndarray, weights: np.ndarray, method: str
) -> tuple[float, float, str]:
    """Returns slope, offset and note of the line that fits best."""
    hits = np.count_nonzero(positive)
    with_offset = method != "temperature"
    # Near the optimum already: logits beyond would mislead the solver.
    inside = np.clip(logits, -_LINE_END, _LINE_END)
    if min(hits, len(positive) - hits) < _LEAST_OUTCOMES:
        slope, note = 1.0, "too few outcomes of a class: shifted as a whole"
        if not with_offset:
            return slope, 0.0, "too few outcomes of a class: left as it was"
    else:
        # Enough to keep the slope finite where classes part perfectly.
        regression = LogisticRegression(
            C=1e4, fit_intercept=with_offset, max_iter=200
        ).fit(inside[:, None], positive, weights)
        slope = float(regression.coef_[0, 0])
        if slope >= MIN_SLOPE:
            offset = regression.intercept_[0] if with_offset else 0.0
            return slope, float(offset), ""
        note = f"outcomes do not rise with predictions: slope {slope:.3g}"
        slope = MIN_SLOPE
    if not with_offset:
        return slope, 0.0, note
    rate = np.average(positive, weights=weights)

    def excess(offset: float) -> float:
        promised = _chances(slope * inside + offset)
        return float(np.average(promised, weights=weights) - rate)

    return slope, float(brentq(excess, -60.0, 60.0, xtol=1e-6)), note


def _isotonic(
    logits: np.ndarray,
    positive: np.ndarray,
    weights: np.ndarray,
    num_knots: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns knots and the shifts of logits there."""
    order = np.argsort(logits, kind="stable")
    logits, weights = logits[order], weights[order]
    predicted = _chances(logits)
    regression = IsotonicRegression(y_min=0.0, y_max=1.0)
    fitted = regression.fit(logits, positive[order], weights).predict(logits)
    # Outcomes vary as they were observed to, not as they were promised to.
    variance = np.cumsum(weights * fitted * (1.0 - fitted))
    num_bins = int(np.clip(variance[-1] / _KNOT_VARIANCE, 1, num_knots))
    edges = variance[-1] * np.arange(1, num_bins) / num_bins
    starts = np.searchsorted(variance, edges)
    # Equal logits go into one bin.
    starts = np.unique(np.searchsorted(logits, logits[starts]))
    starts = np.concatenate([[0], starts[starts > 0]])
    sums = np.add.reduceat(weights, starts)
    into = np.add.reduceat(weights * predicted, starts) / sums
    rate = np.add.reduceat(weights * fitted, starts) / sums
    # A bin of n outcomes cannot tell a rate below half a positive from 0.
    half = 0.5 / (sums + 1.0)
    into, out = logits_of(into), logits_of(np.clip(rate, half, 1 - half))
    kept = [0]
    for place in range(1, len(into)):
        if into[place] - into[kept[-1]] >= _MIN_GAP:
            kept.append(place)
    into, out = into[kept], out[kept]
    # Lifts what rises by less than the least slope, as little as it takes.
    tilted = np.maximum.accumulate(out - MIN_SLOPE * into)
    return into, tilted + MIN_SLOPE * into - into


def _chances(logits: np.ndarray) -> np.ndarray:
    # Beyond are probabilities that single precision calls 0 or 1.
    return 1.0 / (1.0 + np.exp(-np.clip(logits, -80.0, 80.0)))
