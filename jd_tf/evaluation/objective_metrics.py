"""All metrics of one ranking on one objective, with their resamples."""

from typing import Any

import numpy as np

from jd_tf.metrics import amount_metrics as of_amounts
from jd_tf.metrics import calibration_metrics as calibration
from jd_tf.metrics import ranking_metrics as metrics
from jd_tf.metrics.bootstrap import Bootstrap
from jd_tf.metrics.cells import Cells

NDCG_PLACES = 10
NDCG = f"ndcg@{NDCG_PLACES}"
# What every headline shows, as far as it is defined.
HEADLINE = {
    "auc": "AUC",
    "gauc": "GAUC of requests",
    "gauc_user": "GAUC of users",
    NDCG: "NDCG@10",
}
CAPTURE_PLACES = (1, 3)
# Of data whose requests have one positive each.
NEXT_ITEM = ("hr@1", "hr@5", "ndcg@5", "hr@10", "mrr")
WITH_INTERVAL = (
    "auc",
    "gauc",
    "gauc_user",
    NDCG,
    *NEXT_ITEM,
    *(f"captured_value@{k}" for k in CAPTURE_PLACES),
)

Metrics = dict[str, Any]
Replicates = dict[str, np.ndarray]


def request_ndcg(
    cells: Cells, order: np.ndarray, k: int = NDCG_PLACES
) -> np.ndarray:
    """[R] NDCG of an order [R, N]; nan for requests without gain."""
    size, scores = cells.num_requests, cells.pick(order)
    return metrics.group_ndcg(scores, cells.labels, cells.request, size, k)


def next_item_metrics(cells: Cells, order: np.ndarray) -> dict[str, np.ndarray]:
    """[R] hits, NDCG@5 and reciprocal ranks of an order [R, N].

    Ties count as their expectation: a constant order hits k times in N. Empty
    unless every request has exactly one positive.
    """
    size = cells.num_requests
    judged = (cells.pick(order), cells.labels, cells.request, size)
    reciprocal = metrics.group_reciprocal_rank(*judged)
    if not size or np.isnan(reciprocal).any():
        return {}
    first, fifth, tenth = (
        metrics.group_gain_at(*judged, k) for k in (1, 5, 10)
    )
    ndcg = request_ndcg(cells, order, 5)
    found = (first, fifth, ndcg, tenth, reciprocal)
    return dict(zip(NEXT_ITEM, found, strict=True))


def order_metrics(
    cells: Cells,
    order: np.ndarray,
    users: np.ndarray | None,
    bootstrap: Bootstrap | None,
) -> tuple[Metrics, Replicates]:
    """Judges an order [R, N] against labels of 0 and 1; metrics, replicates."""
    scores, size = cells.pick(order), cells.num_requests
    labels, weights = cells.labels, cells.weights
    by_request = metrics.group_auc(scores, labels, cells.request, size, weights)
    gain = request_ndcg(cells, order)
    found: Metrics = {
        "auc": metrics.auc(scores, labels, weights),
        "gauc": by_request.mean(),
        "gauc_requests": int(by_request.defined.sum()),
        "gauc_requests_left_out": int((~by_request.defined).sum()),
        "gauc_user": float("nan"),
        "gauc_users": 0,
        "gauc_users_left_out": 0,
        NDCG: metrics.mean_defined(gain),
        f"{NDCG}_requests": int((~np.isnan(gain)).sum()),
        "num_impressions": len(labels),
        "num_positives": int(np.count_nonzero(labels)),
    }
    drawn: Replicates = {}
    if bootstrap is not None:
        drawn = {
            "auc": bootstrap.aucs(scores, labels, cells.request, weights),
            "gauc": bootstrap.means(by_request.value, by_request.weight),
            NDCG: bootstrap.means(gain, np.ones(size)),
        }
    for name, values in next_item_metrics(cells, order).items():
        found[name] = float(values.mean())
        if bootstrap is not None:
            drawn[name] = bootstrap.means(values, np.ones(size))
    if users is not None and len(users):
        user = users[cells.request]
        by_user = metrics.group_auc(
            scores, labels, user, int(users.max()) + 1, weights
        )
        found["gauc_user"] = by_user.mean()
        found["gauc_users"] = int(by_user.defined.sum())
        found["gauc_users_left_out"] = int((~by_user.defined).sum())
        if bootstrap is not None:  # whose clusters are the users
            drawn["gauc_user"] = bootstrap.cluster_means(*by_user)
    return found, drawn


def probability_metrics(
    cells: Cells, probabilities: np.ndarray | None
) -> Metrics:
    """Judges [R, N] probabilities of one objective; all nan without them."""
    if probabilities is None:
        undefined = dict.fromkeys(_OF_PROBABILITIES, float("nan"))
        return undefined | {"reliability": None}
    picked = cells.pick(probabilities)
    found: Metrics = {
        name: judge(picked, cells.labels, cells.weights)
        for name, judge in _OF_PROBABILITIES.items()
    }
    bins = calibration.reliability(picked, cells.labels, cells.weights)
    return found | {"reliability": bins._asdict()}


def amount_metrics(
    cells: Cells,
    order: np.ndarray,
    amounts: np.ndarray | None,
    bootstrap: Bootstrap | None,
) -> tuple[Metrics, Replicates]:
    """Judges an order [R, N], and expected amounts [R, N], if there are any.

    GAUC is that of pairs of different amounts.
    """
    scores, size, weights = cells.pick(order), cells.num_requests, cells.weights
    labels, request = cells.labels, cells.request
    by_request = of_amounts.group_concordance(
        scores, labels, request, size, weights
    )
    gain = request_ndcg(cells, order)
    found: Metrics = {
        "gauc": by_request.mean(),
        "gauc_requests": int(by_request.defined.sum()),
        "gauc_requests_left_out": int((~by_request.defined).sum()),
        NDCG: metrics.mean_defined(gain),
        f"{NDCG}_requests": int((~np.isnan(gain)).sum()),
        "num_impressions": len(labels),
        "num_positives": int(np.count_nonzero(labels)),
        **dict.fromkeys(_OF_AMOUNTS, float("nan")),
    }
    if amounts is not None:
        picked = cells.pick(amounts)
        for name, judge in _OF_AMOUNTS.items():
            found[name] = judge(picked, labels, weights)
    if bootstrap is None:
        return found, {}
    return found, {
        "gauc": bootstrap.means(by_request.value, by_request.weight),
        NDCG: bootstrap.means(gain, np.ones(size)),
    }


def value_metrics(
    cells: Cells, score: np.ndarray, bootstrap: Bootstrap | None
) -> tuple[Metrics, Replicates]:
    """Judges the final order [R, N] by business value; metrics, replicates."""
    scores, gains = cells.pick(score), cells.labels
    request, size = cells.request, cells.num_requests
    by_request = metrics.group_auc(scores, gains > 0, request, size)
    gain = request_ndcg(cells, score)
    total = metrics.group_sum(gains, request, size, len(gains))
    found: Metrics = {
        "gauc": by_request.mean(),
        NDCG: metrics.mean_defined(gain),
        f"{NDCG}_requests": int((~np.isnan(gain)).sum()),
        "total_value": float(total.sum()),
        "num_impressions": len(gains),
        "num_positives": int(np.count_nonzero(gains)),
    }
    got = {
        f"captured_value@{k}": metrics.group_gain_at(
            scores, gains, request, size, k
        )
        for k in CAPTURE_PLACES
    }
    for name, captured in got.items():
        found[name] = metrics.ratio(captured.sum(), total.sum())
    if bootstrap is None:
        return found, {}
    return found, {
        "gauc": bootstrap.means(by_request.value, by_request.weight),
        NDCG: bootstrap.means(gain, np.ones(size)),
        **{
            name: bootstrap.ratios(captured, total)
            for name, captured in got.items()
        },
    }


_OF_PROBABILITIES = {
    "log_loss": calibration.log_loss,
    "normalized_entropy": calibration.normalized_entropy,
    "calibration_error": calibration.calibration_error,
    "calibration_ratio": calibration.calibration_ratio,
}


_OF_AMOUNTS = {
    "mean_absolute_error": of_amounts.mean_absolute_error,
    "calibration_ratio": of_amounts.amount_ratio,
    "relative_deviance": of_amounts.relative_deviance,
}


def paired_difference(one: np.ndarray, other: np.ndarray) -> Metrics:
    """Mean of `one - other` where both are known, and its standard error."""
    apart = (one - other)[~np.isnan(one - other)]
    count, error = len(apart), float("nan")
    if count > 1:
        error = float(apart.std(ddof=1) / np.sqrt(count))
    return {
        "difference": float(apart.mean()) if count else float("nan"),
        "standard_error": error,
        "num_requests": count,
    }
