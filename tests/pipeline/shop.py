"""A small shop, and stages and channels that do as they are told."""

import numpy as np

from jd_tf.pipeline.catalogue import Catalogue
from jd_tf.pipeline.item_lists import ItemLists
from jd_tf.pipeline.recommender import Recommender, Step
from jd_tf.pipeline.stages.recall_stage import RecallStage
from jd_tf.pipeline.stages.stage import ScoredItems
from jd_tf.pipeline.stages.stage_threads import StageThreads
from tests.requests import random_request, small_schema

SCHEMA = small_schema()
NUM_ITEMS = 60


def catalogue(schema=SCHEMA):
    """Items 1 to 60 with random columns."""
    rng = np.random.default_rng(0)
    tags = rng.integers(0, 9, (NUM_ITEMS, 3))
    return Catalogue(
        {
            "item_id": np.arange(1, NUM_ITEMS + 1),
            "category_id": rng.integers(1, 9, NUM_ITEMS),
            "brand_id": np.array(
                [b"b%d" % n for n in rng.integers(1, 9, NUM_ITEMS)], object
            ),
            "tag_id": tags,
            "item_dense": rng.gamma(1, 9, (NUM_ITEMS, 2)).astype("float32"),
        }
    )


def request(seed=0, schema=SCHEMA):
    """One user at one moment, with candidates that nobody reads."""
    found = random_request(schema, np.random.default_rng(seed))
    return {
        name: value
        for name, value in found.items()
        if name not in ("labels", "label_weights", "position", "page")
    }


class FixedChannel:
    """Brings the same items to all, or does what it is told."""

    def __init__(self, name, ids, before=None):
        self.name = name
        self._ids = np.array(ids)
        self._before = before or (lambda: None)

    def recall(self, requests, count, excluded=None):
        self._before()
        ids = self._ids[~np.isin(self._ids, excluded)][:count]
        rows = len(requests["request_time"])
        score = -np.arange(len(ids), dtype="float32")
        return ItemLists(
            np.tile(ids, (rows, 1)),
            np.tile(score, (rows, 1)),
            np.full(rows, len(ids), np.int32),
        )


class FixedStage:
    """Orders by a key of the id, or answers by a function of the items."""

    def __init__(self, name, key=None, answer=None):
        self.name = name
        self._answer = answer or (lambda items: by_key(items, key))

    def order(self, request, items, count, seconds):
        return self._answer(items)


def by_key(items, key):
    """Items by a key of their id, the greatest first."""
    ids = sorted(items.item_id.tolist(), key=key, reverse=True)
    score = np.array([key(item) for item in ids], float)
    return ScoredItems(np.array(ids), score)


def chain(
    steps,
    channels=None,
    most_running=8,
    excluded=(),
    recall_count=40,
    merging=None,
    **options,
):
    """A recommender of such stages: (stage, count, seconds) each."""
    threads = StageThreads(most_running)
    items = catalogue()
    channels = channels or [FixedChannel("all", range(1, NUM_ITEMS + 1))]
    recall = RecallStage(
        channels,
        items,
        threads,
        recall_count,
        NUM_ITEMS,
        merging,
        excluded_behaviors=excluded,
    )
    return Recommender(
        SCHEMA,
        recall,
        [Step(*step) for step in steps],
        np.array([7, 8, 9]),
        threads,
        **{"recall_seconds": 0.3, "deadline": 2.0} | options,
    )
