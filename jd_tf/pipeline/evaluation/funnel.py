"""Measures what each stage of the chain passes on of what is wanted."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jd_tf.metrics import Bootstrap, group_ndcg, interval
from jd_tf.metrics.ranking_metrics import mean_defined
from jd_tf.pipeline.evaluation.logged_requests import LoggedRequest
from jd_tf.pipeline.recommendation import Recommendation

_REPLICATES = 500


@dataclasses.dataclass(frozen=True)
class FunnelRow:
    """One stage over all requests.

    Attributes:
        stage: its name.
        size: items passed on, the mean.
        recall: share of the wanted items that are passed on, mean over
            requests that want any; with its 95 % interval over users.
        best_kept: share of the fine ranker's best items of the whole
            catalogue that are passed on; nan where not measured.
        p50_ms, p99_ms: milliseconds waited for it.
        fell_back: share of the requests in which its answer was not used.
    """

    stage: str
    size: float
    recall: float
    recall_interval: tuple[float, float]
    best_kept: float
    p50_ms: float
    p99_ms: float
    fell_back: float


def measure_funnel(
    requests: Sequence[LoggedRequest],
    answers: Sequence[Recommendation],
    counts: Mapping[str, int],
    best: Sequence[np.ndarray] = (),
) -> list[FunnelRow]:
    """Measures each stage.

    Args:
        requests: R logged ones.
        answers: to each.
        counts: stage -> items that it passes on.
        best: the fine ranker's best items of the catalogue, of the first so
            many requests.
    """
    bootstrap = users_bootstrap(requests)
    rows = []
    for number, stage in enumerate(counts):
        passed = [_passed(answer, counts, number) for answer in answers]
        recall = np.array(
            [
                _share(one.wanted, ids)
                for one, ids in zip(requests, passed, strict=True)
            ]
        )
        kept = [_share(b, ids) for b, ids in zip(best, passed, strict=False)]
        traces = [answer.trace[number] for answer in answers]
        seconds = 1000 * np.array([trace.seconds for trace in traces])
        rows.append(
            FunnelRow(
                stage,
                float(np.mean([len(ids) for ids in passed])),
                mean_defined(recall),
                interval(bootstrap.means(recall, np.ones(len(recall)))),
                mean_defined(np.array(kept)),
                float(np.percentile(seconds, 50)),
                float(np.percentile(seconds, 99)),
                float(np.mean([trace.fell_back for trace in traces])),
            )
        )
    return rows


def value_ndcg(
    requests: Sequence[LoggedRequest], lists: Sequence[np.ndarray], k: int
) -> np.ndarray:
    """[R] NDCG@k of lists by the business value of what was done.

    The ideal list begins with the most valuable shown items; an item that the
    log did not show gains nothing, whatever it is. nan without any value.
    """
    scores, gains, groups = [], [], []
    for group, (one, ids) in enumerate(zip(requests, lists, strict=True)):
        ids = ids[:k]
        missed = one.item_id[~np.isin(one.item_id, ids)]
        everything = np.concatenate([ids, missed])
        values = dict(zip(one.item_id.tolist(), one.value, strict=True))
        gains.append([values.get(i, 0.0) for i in everything.tolist()])
        # Below any item of the list, and beyond its k places.
        places = np.where(
            np.arange(len(everything)) < len(ids),
            -np.arange(len(everything), dtype=float),
            -1e6,
        )
        padding = max(k - len(ids), 0)
        gains[-1] += [0.0] * padding
        scores.append(np.concatenate([places, np.full(padding, -1e5)]))
        groups.append(np.full(len(scores[-1]), group))
    return group_ndcg(
        np.concatenate(scores),
        np.concatenate(gains),
        np.concatenate(groups),
        len(lists),
        k,
    )


def users_bootstrap(requests: Sequence[LoggedRequest]) -> Bootstrap:
    """Returns a bootstrap over the users of the requests."""
    users = np.array([one.user_id for one in requests])
    _, clusters = np.unique(users, return_inverse=True)
    return Bootstrap(len(users), clusters, _REPLICATES)


def _passed(
    answer: Recommendation, counts: Mapping[str, int], number: int
) -> np.ndarray:
    """Returns the ids that a stage passed on, or the one before it did."""
    names = list(counts)
    if number == len(names) - 1:
        return answer.item_id
    for stage in names[number::-1]:
        if stage in answer.answers:
            return answer.answers[stage].item_id[: counts[names[number]]]
    return answer.item_id[:0]


def _share(wanted: np.ndarray, ids: np.ndarray) -> Any:
    """Returns the share of wanted ids that are there, nan of none."""
    return float(np.isin(wanted, ids).mean()) if len(wanted) else np.nan
