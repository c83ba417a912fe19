"""Answers of stages, checked before they are believed."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from jd_tf.pipeline.stages.stage import ScoredItems


def checked_answer(
    answer: ScoredItems, given: ScoredItems, count: int
) -> tuple[ScoredItems, str]:
    """Returns what can be believed of an answer, and what was wrong with it.

    Where it is too short, given items that it left out follow.
    """
    known = {item: n for n, item in enumerate(given.item_id.tolist())}
    met: set[Any] = set()
    places, unknown, twice, unfinite = [], 0, 0, 0
    ids = np.asarray(answer.item_id).tolist()
    score = np.asarray(answer.score, np.float64)
    for place, item in enumerate(ids):
        if item not in known:
            unknown += 1
        elif item in met:
            twice += 1
        elif not np.isfinite(score[place]):
            unfinite += 1
        else:
            met.add(item)
            places.append(place)
    wrong = {
        "unknown": unknown,
        "twice": twice,
        "without a finite score": unfinite,
    }
    problems = [f"{n} items {what}" for what, n in wrong.items() if n]
    believed = answer.take(np.array(places, np.int64))
    lacking = min(count, len(given)) - len(places)
    if places and lacking > 0:
        problems.append(f"{lacking} items too few")
        rest = [n for item, n in known.items() if item not in met][:lacking]
        below = score[places].min() - 1.0 - np.arange(len(rest))
        believed = dataclasses.replace(
            believed,
            item_id=np.concatenate([believed.item_id, given.item_id[rest]]),
            score=np.concatenate([believed.score, below]),
        )
    return believed, "; ".join(problems)


def first_items(
    items: ScoredItems, count: int, pins: Mapping[int, Any]
) -> ScoredItems:
    """Returns the first `count` items, and those pinned that stand below."""
    if len(items) <= count:
        return items
    places = np.arange(count)
    if pins:
        pinned = np.isin(items.item_id[count:], list(pins.values()))
        places = np.concatenate([places, count + np.flatnonzero(pinned)])
    return items.take(places)


def best_first(
    items: ScoredItems, score: np.ndarray, count: int
) -> ScoredItems:
    """Returns the `count` items of the largest scores (n,), best first."""
    best = np.arange(len(score))
    if count < len(score):
        best = np.argpartition(-score, count - 1)[:count]
    best = best[np.argsort(-score[best], kind="stable")]
    return ScoredItems(items.item_id[best], score[best])
