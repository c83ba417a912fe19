"""The learned fusion against simpler orders, and its weights by segment."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jd_tf.evaluation.fusion.grid_run import EXPECTED, GLOBAL, SEGMENTED
from jd_tf.evaluation.fusion.observation import (
    LEARNED,
    NATURAL_PLACES,
    FusionObservation,
)
from jd_tf.evaluation.objective_metrics import CAPTURE_PLACES
from jd_tf.metrics import ranking_metrics as metrics
from jd_tf.metrics.bootstrap import Bootstrap, interval
from jd_tf.metrics.cells import Cells

MEASURED, ADDITIVE = "expected_reward", "_additive"
# From what needs nothing learned to what needs most.
DESCRIPTIONS = {
    EXPECTED: "the plain rule, business values times probabilities",
    MEASURED: "probabilities times what an outcome brought on average",
    GLOBAL: "the best constant weights of logarithms of probabilities",
    GLOBAL + ADDITIVE: "the best constant weights of probabilities",
    f"{SEGMENTED}scenario": "the best weights of each scenario, of logarithms",
    f"{SEGMENTED}scenario{ADDITIVE}": "the best of each, of probabilities",
    LEARNED: "the learned fusion",
}
# Marks orders by what a server cannot know: bounds, not rivals.
HIDDEN = "hidden: "


def compare_orders(
    observation: FusionObservation,
    orders: Mapping[str, np.ndarray],
    bootstrap: Bootstrap,
    k: int = 10,
) -> dict[str, Any]:
    """Judges all orders on the same requests and the same resamples of users.

    Returns `rankings`: name -> metric -> `value` and `interval`;
    `differences`: name -> other name -> metric -> `difference` (first minus
    other), `interval`, `standard_error`; `num_requests`, with any gain, and
    `num_with_choice`, those that an order can make better or worse.
    """
    predictions = observation.predictions
    gains, real = predictions.total_gains(), predictions.real
    cells = Cells.of(gains, predictions.num_candidates)
    gain = gains.sum(axis=1)
    values: dict[str, dict[str, float]] = {}
    drawn: dict[str, dict[str, np.ndarray]] = {}
    for name, order in orders.items():
        of_cells = (
            *(cells.pick(np.asarray(order)), cells.labels),
            *(cells.request, cells.num_requests),
        )
        ndcg = metrics.group_ndcg(*of_cells, k)
        # Each metric is a ratio of sums over requests.
        parts = {f"ndcg@{k}": (np.nan_to_num(ndcg), 1.0 * ~np.isnan(ndcg))}
        for places in CAPTURE_PLACES:
            got = metrics.group_gain_at(*of_cells, places)
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

    def own(name: str, metric: str) -> dict[str, Any]:
        found = interval(drawn[name][metric])
        return {"value": values[name][metric], "interval": found}

    most = np.where(real, gains, -np.inf).max(axis=1, initial=-np.inf)
    least = np.where(real, gains, np.inf).min(axis=1, initial=np.inf)
    return {
        "num_requests": int((most > 0).sum()),
        "num_with_choice": int(((most > 0) & (most > least)).sum()),
        "rankings": {n: {m: own(n, m) for m in values[n]} for n in values},
        "differences": {
            one: {other: apart(one, other) for other in orders if other != one}
            for one in orders
        },
    }


def recommend(compared: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns metric -> the simplest order that none beats beyond its interval.

    `against` is the learned fusion or, where that is to use, the best other.
    """
    rankings, differences = compared["rankings"], compared["differences"]
    found = {}
    for metric in rankings[LEARNED]:
        value = {n: entry[metric]["value"] for n, entry in rankings.items()}
        value = {n: v for n, v in value.items() if not n.startswith(HIDDEN)}
        best = max(value, key=value.__getitem__)
        use = next(
            name
            for name in [*DESCRIPTIONS, best]
            if name == best
            or (
                name in rankings
                and not differences[best][name][metric]["interval"][0] > 0
            )
        )
        against = LEARNED
        if use == LEARNED:
            del value[LEARNED]
            against = max(value, key=value.__getitem__)
        apart = differences[use][against][metric]
        found[metric] = {"use": use, "against": against, **apart}
    return found


def weights_by_segment(
    observation: FusionObservation, bootstrap: Bootstrap
) -> dict[str, dict[str, Any]]:
    """Returns segmentation -> segment -> counts and mean `shares`."""
    shares = observation.shares
    names = observation.schema.objective_names

    def entry(inside: np.ndarray) -> dict[str, Any]:
        drawn = [bootstrap.means(s, inside.astype(float)) for s in shares.T]
        return {
            "num_requests": int(inside.sum()),
            "num_users": len(np.unique(observation.users[inside])),
            "shares": {
                name: {
                    "mean": float(shares[inside, t].mean()),
                    "interval": interval(drawn[t]),
                }
                for t, name in enumerate(names)
            },
        }

    def place(part: tuple[str, dict[str, Any]]) -> tuple[int, float]:
        last = part[1]["shares"][names[-1]]["mean"]
        return NATURAL_PLACES.get(part[0], 0), last

    found = {}
    for segmentation, ids in observation.predictions.segments.items():
        parts = {str(one): entry(ids == one) for one in np.unique(ids)}
        found[segmentation] = dict(sorted(parts.items(), key=place))
    return found
