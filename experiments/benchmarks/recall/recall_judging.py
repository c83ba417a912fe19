"""Judges channels and their merge on requests whose next items are known."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from jd_tf.metrics import (
    Bootstrap,
    coverage,
    found_at,
    hit_rate_at,
    interval,
    list_ndcg_at,
    novelty,
    recall_at,
)
from jd_tf.metrics.ranking_metrics import mean_defined
from jd_tf.pipeline.item_lists import ItemLists
from jd_tf.pipeline.recall.channel import RecallChannel
from jd_tf.pipeline.recall.interactions import Interactions
from jd_tf.pipeline.recall.merging import Merge
from jd_tf.pipeline.recall.pooling import Pool
from jd_tf.pipeline.recall.scoring import find_ids

MERGE = "merge"
# Items that each channel brings into the merge.
LIST_SIZE = 150
# An item of fewer users in training is cold.
COLD_USERS = 5
_NUM_REPLICATES = 1000
_BATCH_SIZE = 1024


@dataclasses.dataclass(frozen=True)
class Requests:
    """Requests with what their users went on to.

    Attributes:
        columns: history and request columns of B requests.
        wanted: (B, R) ids, 0 pads.
        user: (B,) int from 0, whose requests they are.
        repeated: (B, R) bool, wanted items of the user's history.
        excluded: (B, X) ids that do not compete, 0 pads; None: all do.
    """

    columns: Mapping[str, np.ndarray]
    wanted: np.ndarray
    user: np.ndarray
    repeated: np.ndarray
    excluded: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.wanted)

    def some(self, rows: Any) -> "Requests":
        """Returns the requests of some rows."""
        return Requests(
            {name: column[rows] for name, column in self.columns.items()},
            self.wanted[rows],
            self.user[rows],
            self.repeated[rows],
            None if self.excluded is None else self.excluded[rows],
        )


def recall_all(channel: RecallChannel, requests: Requests) -> ItemLists:
    """Returns lists of a channel for any number of requests."""
    return ItemLists.joined(
        channel.recall(some.columns, LIST_SIZE, some.excluded)
        for some in map(requests.some, _batches(len(requests)))
    )


def with_merges(
    merge: Merge, lists: Mapping[str, ItemLists], without: bool = True
) -> dict[str, ItemLists]:
    """Returns the lists, their merge, and it without each of its channels.

    Args:
        merge: of the channels.
        lists: of the channels.
        without: whether the merges without a channel are wanted.
    """
    weights = {name: merge.weights.get(name, 1.0) for name in lists}
    merges = {MERGE: merge}
    for name, weight in weights.items():
        left = {**weights, name: 0.0}
        if without and weight and any(left.values()):
            merges[f"without {name}"] = dataclasses.replace(merge, weights=left)
    parts: dict[str, list[ItemLists]] = {name: [] for name in merges}
    for mine in _batches(len(next(iter(lists.values())))):
        pool = Pool.of({name: part.some(mine) for name, part in lists.items()})
        for name, one in merges.items():
            parts[name].append(one.of_pool(pool, LIST_SIZE).items)
    joined = {name: ItemLists.joined(part) for name, part in parts.items()}
    return {**lists, **joined}


def _batches(count: int) -> Iterator[slice]:
    for start in range(0, count, _BATCH_SIZE):
        yield slice(start, start + _BATCH_SIZE)


def request_metrics(
    lists: ItemLists, requests: Requests, interactions: Interactions
) -> dict[str, np.ndarray]:
    """Returns metric -> (B,) values, nan where a request has none.

    `repeat_` and `novel_` are recalls of items of the user's history and of
    the others; `cold_` of novel items of fewer than `COLD_USERS` users.
    """
    wanted, repeated = requests.wanted, requests.repeated
    places = found_at(lists.item_id, wanted)
    real = wanted != 0
    row = find_ids(interactions.item_id, wanted)
    users = np.where(row >= 0, interactions.popularity()[row], 0)
    listed = find_ids(interactions.item_id, lists.item_id[:, :20])
    shown = lists.present[:, :20] & (listed >= 0)
    popularity = np.where(shown, interactions.popularity()[listed], 0)
    novel = real & ~repeated
    metrics = {
        "recall@20": recall_at(places, real, 20),
        "recall@100": recall_at(places, real, 100),
        "HR@10": hit_rate_at(places, real, 10),
        "HR@20": hit_rate_at(places, real, 20),
        "NDCG@10": list_ndcg_at(places, real, 10),
        "novel_recall@20": recall_at(places, novel, 20),
        "novel_recall@100": recall_at(places, novel, 100),
        "cold_recall@100": recall_at(places, novel & (users < COLD_USERS), 100),
        "novelty@20": novelty(popularity, shown, interactions.num_users),
    }
    if repeated.any():
        metrics |= {
            f"repeat_recall@{k}": recall_at(places, repeated & real, k)
            for k in (20, 100)
        }
    else:
        # Without repeats the two are the same.
        metrics.pop("novel_recall@20")
        metrics.pop("novel_recall@100")
    return metrics


def compare(
    values: Mapping[str, Mapping[str, np.ndarray]],
    user: np.ndarray,
    against: str = MERGE,
) -> dict[str, Any]:
    """Returns means of each system, and intervals of what another has more.

    Args:
        values: system -> metric -> (B,).
        user: (B,) int from 0, whose requests they are.
        against: the system that others are compared with.

    Returns:
        system -> {"means": metric -> mean, "merge_minus": metric ->
        [difference, low, high]}, of a paired bootstrap over users.
    """
    bootstrap = Bootstrap(len(user), user, num_replicates=_NUM_REPLICATES)
    found = {}
    for name, metrics in values.items():
        found[name] = {"means": {m: _mean(v) for m, v in metrics.items()}}
        if name == against or against not in values:
            continue
        minus = {}
        for metric, value in metrics.items():
            difference = values[against][metric] - value
            drawn = bootstrap.means(difference, np.ones(len(difference)))
            ends = map(_number, interval(drawn))
            minus[metric] = [_mean(difference), *ends]
        found[name]["merge_minus"] = minus
    return found


def list_coverage(lists: ItemLists, interactions: Interactions) -> float:
    """Returns the share of the items of training among the first 20."""
    first = lists.item_id[:, :20], lists.present[:, :20]
    return coverage(*first, len(interactions.item_id))


def only_of(
    lists: Mapping[str, ItemLists], requests: Requests, k: int = 100
) -> dict[str, float]:
    """Returns the share of wanted items that one channel alone has in k."""
    real = requests.wanted != 0
    places = [found_at(p.item_id, requests.wanted) for p in lists.values()]
    hits = np.stack([(p > 0) & (p <= k) & real for p in places])
    alone = hits & (hits.sum(axis=0) == 1)
    shares = alone.sum(axis=(1, 2)) / real.sum()
    return dict(zip(lists, shares.tolist(), strict=True))


def table(judged: Mapping[str, Any], metrics: Sequence[str]) -> str:
    """Returns a line a system; `*`: the merge differs, by its interval."""
    lines = [" " * 30 + "".join(f"{m:>16}" for m in metrics)]
    for name, found in judged.items():
        cells = []
        for metric in metrics:
            value = found["means"][metric]
            _, low, high = found.get("merge_minus", {}).get(metric, [None] * 3)
            apart = low is not None and (low > 0 or high < 0)
            text = "-" if value is None else f"{value:.4f}"
            cells.append(f"{text:>15}{'*' if apart else ' '}")
        lines.append(f"{name:<30}" + "".join(cells))
    return "\n".join(lines)


def _mean(values: np.ndarray) -> float | None:
    """Returns the mean of what is not nan; None of nothing."""
    return _number(mean_defined(values))


def _number(value: float) -> float | None:
    """Returns a number that JSON has."""
    return None if np.isnan(value) else float(value)
