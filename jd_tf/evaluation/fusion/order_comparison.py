"""The learned order against simpler ones, and which of them to use."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jd_tf.evaluation.fusion.grid import FusionGrid
from jd_tf.evaluation.fusion.grid_report import EXPECTED, GLOBAL
from jd_tf.evaluation.fusion.observation import LEARNED, FusionObservation
from jd_tf.evaluation.fusion.weight_judge import WeightJudge
from jd_tf.evaluation.objective_metrics import CAPTURE_PLACES
from jd_tf.metrics import ranking_metrics as metrics
from jd_tf.metrics.bootstrap import Bootstrap, interval
from jd_tf.metrics.cells import Cells

ADDITIVE = "best_global_weights_additive"
# From what needs nothing learned to what needs most.
DESCRIPTIONS = {
    EXPECTED: "the plain rule, business values times probabilities",
    GLOBAL: "the best constant weights of logarithms of probabilities",
    ADDITIVE: "the best constant weights of probabilities",
    LEARNED: "the learned fusion",
}


def orders_of(
    observation: FusionObservation,
    grids: Mapping[str, tuple[FusionGrid, WeightJudge]],
    others: Mapping[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Every order to compare.

    Args:
        observation: of the requests to rank.
        grids: form -> grid of its best weights, and the judge of
            `observation` in that form.
        others: name -> [R, N], more orders.

    Returns:
        Name -> [R, N] scores.
    """
    found = {EXPECTED: observation.expected}
    for form, name in (("log_linear", GLOBAL), ("additive", ADDITIVE)):
        grid, judge = grids[form]
        found[name] = judge.features @ grid.best_weights().astype(np.float32)
    found[LEARNED] = observation.predictions.scores[LEARNED]
    return {**found, **(others or {})}


def compare_orders(
    observation: FusionObservation,
    orders: Mapping[str, np.ndarray],
    bootstrap: Bootstrap,
    k: int = 10,
) -> dict[str, Any]:
    """Judges all orders on the same requests and the same resamples of users.

    Args:
        observation: of R requests.
        orders: name -> [R, N] scores.
        bootstrap: of the same requests, by user.
        k: places of value-NDCG.

    Returns:
        `rankings`: name -> metric -> `value` and `interval`; `differences`:
        name -> other name -> metric -> `difference` (first minus other),
        `interval`, `standard_error`; metrics are value-NDCG and shares of the
        value captured by the first places. `num_requests`, with any gain,
        and `num_with_choice`, those of them that an order can make better or
        worse: the others are alike under all and draw differences to 0.
    """
    gains = observation.predictions.total_gains()
    cells = Cells.of(gains, observation.predictions.num_candidates)
    size = cells.num_requests
    gain = metrics.group_sum(
        cells.labels, cells.request, size, len(cells.labels)
    )
    # Each metric is a ratio of sums over requests.
    values: dict[str, dict[str, float]] = {}
    drawn: dict[str, dict[str, np.ndarray]] = {}
    for name, order in orders.items():
        scores = cells.pick(np.asarray(order))
        ndcg = metrics.group_ndcg(scores, cells.labels, cells.request, size, k)
        known = ~np.isnan(ndcg)
        parts = {f"ndcg@{k}": (np.nan_to_num(ndcg), known.astype(float))}
        for places in CAPTURE_PLACES:
            got = metrics.group_gain_at(
                scores, cells.labels, cells.request, size, places
            )
            parts[f"captured_value@{places}"] = (got, gain)
        values[name] = {
            metric: metrics.ratio(got.sum(), total.sum())
            for metric, (got, total) in parts.items()
        }
        drawn[name] = {
            metric: bootstrap.ratios(got, total)
            for metric, (got, total) in parts.items()
        }

    def apart(one: str, other: str) -> dict[str, Any]:
        entry = {}
        for metric in values[one]:
            resampled = drawn[one][metric] - drawn[other][metric]
            entry[metric] = {
                "difference": values[one][metric] - values[other][metric],
                "interval": interval(resampled),
                "standard_error": float(np.nanstd(resampled, ddof=1)),
            }
        return entry

    return {
        "num_requests": int(known.sum()),
        "num_with_choice": int((known & _with_choice(observation)).sum()),
        "rankings": {
            name: {
                metric: {
                    "value": value,
                    "interval": interval(drawn[name][metric]),
                }
                for metric, value in found.items()
            }
            for name, found in values.items()
        },
        "differences": {
            one: {other: apart(one, other) for other in orders if other != one}
            for one in orders
        },
    }


def _with_choice(observation: FusionObservation) -> np.ndarray:
    """[R] bool, True where candidates differ in their gain."""
    predictions = observation.predictions
    gains, real = predictions.total_gains(), predictions.real
    most = np.where(real, gains, -np.inf).max(axis=1, initial=-np.inf)
    least = np.where(real, gains, np.inf).min(axis=1, initial=np.inf)
    return most > least


def recommend(compared: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The simplest order that none beats beyond its interval.

    Args:
        compared: of `compare_orders`.

    Returns:
        Metric -> `use`, the name of the order; `against`, the learned fusion
        or, where that is the one to use, the best other order; and
        `difference`, `interval` and `standard_error` of the two.
    """
    rankings, differences = compared["rankings"], compared["differences"]
    found = {}
    for metric in rankings[LEARNED]:

        def value(name: str, metric: str = metric) -> float:
            return rankings[name][metric]["value"]

        best = max(rankings, key=value)
        simple = [name for name in DESCRIPTIONS if name in rankings]
        use = next(
            name
            for name in [*simple, best]
            if name == best
            or not differences[best][name][metric]["interval"][0] > 0
        )
        against = LEARNED
        if use == LEARNED:
            against = max((n for n in rankings if n != LEARNED), key=value)
        apart = differences[use][against][metric]
        found[metric] = {"use": use, "against": against, **apart}
    return found
