"""Weights of recall channels, chosen on requests whose next item is known."""

import functools
from collections.abc import Mapping, Sequence

import numpy as np

from jd_tf.pipeline.item_lists import ItemLists
from jd_tf.pipeline.recall.merging import Merge
from jd_tf.pipeline.recall.pooling import Pool
from jd_tf.pipeline.recall.scoring import find_ids

_WEIGHTS = (0.0, 0.03, 0.1, 0.2, 0.4, 0.7, 1.0, 1.5, 2.5)
_WAYS = (("score", 0.0), ("rank", 0.0), ("rank", 10.0), ("rank", 60.0))
_ROUNDS = 3


def tune_blend(
    lists: Mapping[str, ItemLists],
    wanted: np.ndarray,
    places: Sequence[int] = (10, 20, 100),
) -> Merge:
    """Returns the blend of the highest objective, one weight after another.

    The objective is the mean logarithm of NDCG at the first of `places` and
    of the hit rates at all: a per cent of each is worth the same. It starts
    at the best single channel, so a channel that adds nothing gets 0.

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
        values = pool.values(*way)[reached]
        weights, reach = _ascend(values, found, places)
        if reach > best:
            best, chosen = reach, (weights, way)
    weights, (by, offset) = chosen
    named = dict(zip(lists, map(float, weights), strict=True))
    return Merge(weights=named, by=by, rank_offset=offset)


def _ascend(
    values: np.ndarray, found: np.ndarray, places: Sequence[int]
) -> tuple[np.ndarray, float]:
    """Returns weights that no change of one of them makes better."""
    objective = functools.partial(_objective, values, found, places)
    weights = max(np.eye(values.shape[-1]), key=objective)
    reach, before = objective(weights), -np.inf
    for _ in range(_ROUNDS):
        if reach == before:
            break
        before = reach
        for channel in range(len(weights)):
            for weight in _WEIGHTS:
                other = weights.copy()
                other[channel] = weight
                value = objective(other)
                if value > reach:
                    weights, reach = other, value
    return weights, reach


def _objective(
    values: np.ndarray,
    found: np.ndarray,
    places: Sequence[int],
    weights: np.ndarray,
) -> float:
    """Returns the sum of logarithms of what `tune_blend` names.

    Args:
        values: (B, G, C) of pooled items.
        found: (B,) place of the wanted one among them.
        places: lengths of lists that matter.
        weights: (C,).
    """
    score = values @ weights
    mine = np.take_along_axis(score, found[:, None], axis=1)
    # Equal scores are in the order of ids, which is as good as any.
    ties = (score == mine).sum(axis=1) - 1
    place = (score > mine).sum(axis=1) + 0.5 * ties
    place = np.where(mine[:, 0] > 0, place, np.inf)
    hits = [np.count_nonzero(place < k) for k in places]
    gain = (1.0 / np.log2(2.0 + place[place < places[0]])).sum()
    return float(np.log(np.maximum([gain, *hits], 0.5)).sum())
