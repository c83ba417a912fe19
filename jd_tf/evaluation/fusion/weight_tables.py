"""Learned weights by segment, and beside the best constant ones."""

from typing import Any

import numpy as np
from scipy.stats import rankdata

from jd_tf.evaluation.fusion.grid import FusionGrid
from jd_tf.evaluation.fusion.observation import LEARNED, FusionObservation
from jd_tf.evaluation.fusion.session_state import ENGAGED, natural_place
from jd_tf.evaluation.fusion.weight_judge import WeightJudge
from jd_tf.metrics.bootstrap import Bootstrap, interval

# Of two segments, these come second: they are compared with the other.
_SECOND = (ENGAGED,)


def weights_by_segment(
    observation: FusionObservation, bootstrap: Bootstrap
) -> dict[str, dict[str, Any]]:
    """Mean shares of the weights in every segment.

    Args:
        observation: of R requests.
        bootstrap: of the same requests, by user.

    Returns:
        Segmentation -> segment -> `num_requests`, `num_users`, and
        `shares`: objective -> `mean` and `interval`; in their own order, as
        of hours, or that in which the shares of the last objective grow.
    """
    shares = observation.shares
    names = observation.schema.objective_names
    found: dict[str, dict[str, Any]] = {}
    for segmentation, ids in observation.predictions.segments.items():
        parts: dict[str, dict[str, Any]] = {}
        for segment in np.unique(ids):
            inside = ids == segment
            weights = inside.astype(np.float64)
            parts[str(segment)] = {
                "num_requests": int(inside.sum()),
                "num_users": len(np.unique(observation.users[inside])),
                "shares": {
                    name: {
                        "mean": float(shares[inside, t].mean()),
                        "interval": interval(
                            bootstrap.means(shares[:, t], weights)
                        ),
                    }
                    for t, name in enumerate(names)
                },
            }
        found[segmentation] = dict(
            sorted(
                parts.items(),
                key=lambda part: (
                    natural_place(part[0]),
                    part[1]["shares"][names[-1]]["mean"],
                ),
            )
        )
    return found


def contrasts(
    observation: FusionObservation, bootstrap: Bootstrap
) -> dict[str, dict[str, Any]]:
    """Differences of weights where there are two segments, as two intents.

    Args:
        observation: of R requests.
        bootstrap: of the same requests, by user.

    Returns:
        Segmentation of two segments -> `segments`, their names, and
        `objectives`: objective -> `difference` of the mean shares, second
        minus first, its `interval`, `standard_error`, and `standard_errors`,
        the difference in units of that.
    """
    shares = observation.shares
    found = {}
    for segmentation, ids in observation.predictions.segments.items():
        names = sorted(np.unique(ids).tolist(), key=_SECOND.__contains__)
        if len(names) != 2:
            continue
        inside = [(ids == name).astype(np.float64) for name in names]
        entry = {}
        for t, objective in enumerate(observation.schema.objective_names):
            first, second = (
                np.average(shares[:, t], weights=part) for part in inside
            )
            drawn = [bootstrap.means(shares[:, t], part) for part in inside]
            apart = drawn[1] - drawn[0]
            error = float(np.nanstd(apart, ddof=1))
            entry[objective] = {
                "difference": float(second - first),
                "interval": interval(apart),
                "standard_error": error,
                "standard_errors": float((second - first) / error)
                if error
                else None,
            }
        found[segmentation] = {"segments": names, "objectives": entry}
    return found


def agree_with_grid(
    observation: FusionObservation,
    grid: FusionGrid,
    judge: WeightJudge,
    bootstrap: Bootstrap,
) -> list[dict[str, Any]]:
    """Learned weights beside the best constant ones of every segment.

    Args:
        observation: of R requests, on which both are judged.
        grid: searched on other requests, by the same segmentations.
        judge: of `observation`, in the form of the learned fusion.
        bootstrap: of the same requests, by user.

    Returns:
        For all requests and each segment that the grid met: `segmentation`,
        `segment`, `num_requests` (with gain, judged), `grid` and `learned`
        shares by objective, their `rank_correlation` (Spearman), value-NDCG
        `ndcg_grid` and `ndcg_learned`, and the `regret` of the learned
        ones, grid minus learned, with `regret_interval` and
        `regret_standard_error`.
    """
    names = observation.schema.objective_names
    shares = observation.shares
    learned = judge.request_ndcg(observation.predictions.scores[LEARNED])
    defined = ~np.isnan(learned)
    found = []
    for number, (segmentation, segment) in enumerate(grid.groups):
        ids = observation.predictions.segments.get(segmentation)
        inside = defined if ids is None else defined & (ids == segment)
        if not inside.any() or grid.best[number] < 0:
            continue
        best = grid.best_weights(number)
        searched = judge.request_ndcg(judge.features @ best.astype(np.float32))
        regret = np.where(inside, searched - learned, np.nan)
        drawn = bootstrap.means(regret, inside.astype(np.float64))
        mine = shares[inside].mean(axis=0)
        found.append(
            {
                "segmentation": segmentation,
                "segment": segment,
                "num_requests": int(inside.sum()),
                "grid": dict(zip(names, best.tolist(), strict=True)),
                "learned": dict(zip(names, mine.tolist(), strict=True)),
                "rank_correlation": rank_correlation(best, mine),
                "ndcg_grid": float(searched[inside].mean()),
                "ndcg_learned": float(learned[inside].mean()),
                "regret": float(np.nanmean(regret)),
                "regret_interval": interval(drawn),
                "regret_standard_error": float(np.nanstd(drawn, ddof=1)),
            }
        )
    return found


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's, nan where one of them is all alike."""
    a, b = rankdata(one), rankdata(other)
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])
