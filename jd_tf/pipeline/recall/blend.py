"""Weights of recall channels, chosen on requests whose next item is known."""

from collections.abc import Mapping, Sequence

import numpy as np

from jd_tf.pipeline.item_lists import ItemLists
from jd_tf.pipeline.recall.merging import Merge
from jd_tf.pipeline.recall.pooling import Pool
from jd_tf.pipeline.recall.scoring import find_ids

_WEIGHTS = (0.0, 0.03, 0.1, 0.2, 0.4, 0.7, 1.0, 1.5, 2.5)
_WAYS = (
    ("score", 0.0),
    *(("rank", offset) for offset in (0.0, 3.0, 10.0, 60.0)),
)
# A change must bring a thousandth of each metric: less is noise of the users
# drawn, and a channel that brings noise costs time.
_LEAST = 4e-3


def tune_blend(
    lists: Mapping[str, ItemLists],
    wanted: np.ndarray,
    places: Sequence[int] = (10, 20, 100),
) -> Merge:
    """Returns the blend of the highest objective, one weight after another.

    The objective is the mean logarithm of NDCG at the first of `places` and
    of the hit rates at all: a per cent of each is worth the same. It starts
    at the best single channel; what adds under a thousandth gets 0.

    Args:
        lists: channel -> its items for B requests, none of them in training.
        wanted: (B,) the id each user went on to.
        places: lengths of lists that matter.
    """
    pool = Pool.of(lists)
    code = find_ids(pool.known, wanted)[:, None]
    target = (pool.code == code) & pool.present
    reached = np.flatnonzero(target.any(axis=1))
    if not len(reached):
        return Merge()
    found = target[reached].argmax(axis=1)
    best, chosen = -np.inf, (np.ones(len(lists)), _WAYS[0])
    for way in _WAYS:
        values = np.moveaxis(pool.values(*way)[reached], -1, 0)
        weights, reach = _ascend(np.ascontiguousarray(values), found, places)
        if reach > best:
            best, chosen = reach, (weights, way)
    weights, (by, offset) = chosen
    named = dict(zip(lists, map(float, weights), strict=True))
    return Merge(weights=named, by=by, rank_offset=offset)


def _ascend(
    values: np.ndarray, found: np.ndarray, places: Sequence[int]
) -> tuple[np.ndarray, float]:
    """Returns weights (C,) that no change of one of them makes better.

    `values` (C, B, G) are of pooled items, the wanted one is at `found` (B,).
    """
    alone = [_objective(score, found, places) for score in values]
    weights = np.eye(len(values))[int(np.argmax(alone))]
    reach, before = max(alone), -np.inf
    while reach > before:
        before = reach
        for channel, value in enumerate(values):
            others = weights.copy()
            others[channel] = 0.0
            rest = np.tensordot(others, values, 1)
            for weight in _WEIGHTS:
                other = _objective(rest + weight * value, found, places)
                if other > reach + _LEAST:
                    weights[channel], reach = weight, other
    return weights, reach


def _objective(
    score: np.ndarray, found: np.ndarray, places: Sequence[int]
) -> float:
    """Returns the sum of logarithms of what `tune_blend` names."""
    mine = np.take_along_axis(score, found[:, None], axis=1)
    # Equal scores are in the order of ids, which is as good as any.
    ties = (score == mine).sum(axis=1) - 1
    place = (score > mine).sum(axis=1) + 0.5 * ties
    place = np.where(mine[:, 0] > 0, place, np.inf)
    hits = [np.count_nonzero(place < k) for k in places]
    gain = (1.0 / np.log2(2.0 + place[place < places[0]])).sum()
    return float(np.log(np.maximum([gain, *hits], 0.5)).sum())
