"""Do learned weights agree with those that a search finds best?"""

from typing import Any

import numpy as np

from jd_tf.evaluation.fusion.grid import FusionGrid
from jd_tf.evaluation.fusion.grid_judge import WeightJudge
from jd_tf.evaluation.fusion.observation import LEARNED, FusionObservation
from jd_tf.metrics.bootstrap import Bootstrap, interval


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
    ranks = []
    for values in (one, other):
        below = (values[:, None] > values[None, :]).sum(axis=1)
        tied = (values[:, None] == values[None, :]).sum(axis=1)
        ranks.append(below + 0.5 * (tied - 1))
    a, b = (rank - rank.mean() for rank in ranks)
    size = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / size) if size else float("nan")
