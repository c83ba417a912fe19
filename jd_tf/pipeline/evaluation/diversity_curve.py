"""Value kept against diversity gained, by kind and weight of re-ranking."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from jd_tf.metrics import Bootstrap, interval, value_entropy
from jd_tf.pipeline.reranking.item_likeness import Likeness
from jd_tf.pipeline.reranking.rerank_config import Quota, RerankConfig
from jd_tf.pipeline.reranking.reranker import Reranker
from jd_tf.pipeline.stages.rerank_stage import RerankStage
from jd_tf.pipeline.stages.stage import ScoredItems

_CATEGORY = "category_id"
WEIGHTS = (0.3, 0.5, 0.7, 0.8, 0.85, 0.9, 0.92, 0.94, 0.96, 0.98)


@dataclasses.dataclass(frozen=True)
class CurvePoint:
    """One way of re-ranking over all requests.

    Attributes:
        method: `score`, `mmr`, `dpp` or `quota`.
        setting: weight of relevance, or items of a category at most.
        value_kept: sum of the fine scores shown, over that of the best by
            score alone; ratio of the sums over requests, with its interval.
        discounted_kept: the same with the score at place p over log2(1 + p).
        distance: mean of 1 - likeness over the pairs of a list.
        entropy: of the categories (`category_id`) of a list, in bits.
    """

    method: str
    setting: float
    value_kept: float
    value_interval: tuple[float, float]
    discounted_kept: float
    distance: float
    distance_interval: tuple[float, float]
    entropy: float


def diversity_curve(
    lists: Sequence[ScoredItems],
    stage: RerankStage,
    bootstrap: Bootstrap,
    count: int,
    window: int,
    quotas: Sequence[int],
) -> list[CurvePoint]:
    """Re-ranks the fine ranker's lists in many ways.

    Args:
        lists: R of them, scores above 0.
        stage: knows the likeness of items and their columns.
        bootstrap: over the users of the R requests.
        count: items shown.
        window: of `mmr` and `dpp`.
        quotas: items of a category at most, in the whole list.
    """
    ways: list[tuple[str, float, RerankConfig]] = [
        ("score", 1.0, RerankConfig("none"))
    ]
    for method in ("mmr", "dpp"):
        for weight in WEIGHTS:
            config = RerankConfig(method, weight, window)
            ways.append((method, weight, config))
    for most in quotas:
        quota = (Quota(_CATEGORY, most),)
        ways.append(("quota", most, RerankConfig("none", quotas=quota)))
    rows = [stage.catalogue.rows(items.item_id) for items in lists]
    likeness = [stage.likeness(row) for row in rows]
    categories = [stage.catalogue.columns[_CATEGORY][row] for row in rows]
    discounts = 1.0 / np.log2(2.0 + np.arange(count))
    points: list[CurvePoint] = []
    for method, setting, config in ways:
        shown, distances, entropies = [], [], []
        for items, alike, values in zip(
            lists, likeness, categories, strict=True
        ):
            order = (
                Reranker(config)
                .rerank(items.score, count, alike, {_CATEGORY: values})
                .order
            )
            score = np.zeros(count)
            score[: len(order)] = items.score[order]
            shown.append(score)
            distances.append(list_distance(alike, order))
            entropies.append(
                value_entropy(values[order][None], np.array([len(order)]))[0]
            )
        score, distance = np.array(shown), np.array(distances)
        if not points:
            best = score
        ratios = bootstrap.ratios(score.sum(axis=1), best.sum(axis=1))
        points.append(
            CurvePoint(
                method,
                setting,
                float(score.sum() / best.sum()),
                interval(ratios),
                float((score @ discounts).sum() / (best @ discounts).sum()),
                float(np.nanmean(distance)),
                interval(bootstrap.means(distance, np.ones(len(distance)))),
                float(np.nanmean(entropies)),
            )
        )
    return points


def list_distance(likeness: Likeness, order: np.ndarray) -> float:
    """Returns the mean of 1 - likeness over the pairs of the items shown."""
    if len(order) < 2:
        return float("nan")
    total = sum(
        likeness.row(item)[order].sum() - likeness.row(item)[item]
        for item in order.tolist()
    )
    return 1.0 - total / (len(order) * (len(order) - 1))


def gain_within(
    points: Sequence[CurvePoint], method: str, most_lost: float
) -> CurvePoint | None:
    """Returns the most diverse point of a method that loses little value."""
    allowed = [
        point
        for point in points
        if point.method == method and point.value_kept >= 1 - most_lost
    ]
    return max(allowed, key=lambda point: point.distance, default=None)
