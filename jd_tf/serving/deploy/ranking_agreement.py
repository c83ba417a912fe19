"""How far two versions agree on the order of candidates."""

import dataclasses

import numpy as np
from scipy import stats


@dataclasses.dataclass(frozen=True)
class RankingAgreement:
    """What is the same about two orders of one request's candidates.

    Attributes:
        difference: largest change of a score, relative to the largest score
            of the first.
        overlap: share of the first k that both orders have there.
        same_first: whether both put the same candidate first.
        tau: Kendall's tau-b of all candidates, 1 for the same order and -1
            for its reverse; nan with fewer than two, or all scores equal.
    """

    difference: float
    overlap: float
    same_first: bool
    tau: float


def agreement(
    before: np.ndarray, after: np.ndarray, top_k: int
) -> RankingAgreement:
    """Compares two scores of the same candidates.

    Args:
        before: (n,) scores, n >= 1; equal ones keep their order.
        after: (n,) scores.
        top_k: how many places count as the top; all, if there are fewer.
    """
    scale = np.abs(before).max()
    change = float(np.abs(before - after).max())
    orders = [np.argsort(-scores, kind="stable") for scores in (before, after)]
    k = min(top_k, len(before))
    both = np.intersect1d(orders[0][:k], orders[1][:k])
    tau = np.nan
    if min(np.ptp(before), np.ptp(after)) > 0:
        tau = float(stats.kendalltau(before, after).statistic)
    return RankingAgreement(
        change / scale if scale else change,
        len(both) / k,
        bool(orders[0][0] == orders[1][0]),
        tau,
    )
