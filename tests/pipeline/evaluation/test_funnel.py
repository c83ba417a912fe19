"""The losses of a chain, counted by hand."""

import math

import numpy as np
import pytest

from jd_tf.pipeline.evaluation.funnel import measure_funnel, value_ndcg
from jd_tf.pipeline.evaluation.logged_requests import LoggedRequest
from jd_tf.pipeline.recommendation import Recommendation, StageTrace
from jd_tf.pipeline.stages.stage import ScoredItems

COUNTS = {"recall": 4, "fine": 2}


def logged(item_id, value, user="u"):
    return LoggedRequest(
        "r", user, {}, np.array(item_id), np.array(value, float)
    )


def answer(recalled, fine, shown, status="ok"):
    answers = {"recall": ScoredItems(np.array(recalled), np.zeros(9))}
    if fine is not None:
        answers["fine"] = ScoredItems(np.array(fine), np.zeros(9))
    trace = (
        StageTrace("recall", "ok", 0.004, 1, 4),
        StageTrace("fine", status, 0.02, 4, 2),
    )
    return Recommendation(np.array(shown), (), trace, 0.03, {}, answers)


def test_each_cut_is_counted():
    requests = [
        logged([1, 2, 3], [1.0, 0.0, 5.0]),
        logged([7, 8], [0.0, 2.0], "v"),
        logged([9], [0.0], "w"),
    ]
    answers = [
        # 3 is cut by recall: it stands fifth.
        answer([1, 5, 6, 4, 3], [1, 5, 6, 4], [1, 5]),
        answer([7, 9, 8, 6], None, [7, 9], status="late"),
        answer([2], [2], [2]),
    ]
    best = [np.array([1, 3, 4, 8])]
    recall, fine = measure_funnel(requests, answers, COUNTS, best)
    assert (recall.stage, fine.stage) == ("recall", "fine")
    # One of two wanted, one of one, and the third wants nothing.
    assert recall.recall == pytest.approx((0.5 + 1.0) / 2)
    assert fine.recall == pytest.approx((0.5 + 0.0) / 2)
    assert recall.size == pytest.approx((4 + 4 + 1) / 3)
    assert recall.best_kept == 0.5
    assert fine.best_kept == 0.25
    assert (recall.fell_back, fine.fell_back) == (0.0, pytest.approx(1 / 3))
    assert recall.p50_ms == pytest.approx(4.0)
    low, high = recall.recall_interval
    assert low <= recall.recall <= high


def literal_ndcg(one, ids, k):
    values = dict(zip(one.item_id.tolist(), one.value.tolist(), strict=True))
    gain = sum(
        values.get(item, 0.0) / math.log2(2 + place)
        for place, item in enumerate(ids[:k])
    )
    ideal = sum(
        value / math.log2(2 + place)
        for place, value in enumerate(sorted(values.values())[::-1][:k])
    )
    return gain / ideal if ideal else math.nan


def test_value_ndcg_equals_the_loop():
    rng = np.random.default_rng(0)
    requests, lists = [], []
    for _ in range(30):
        shown = rng.choice(20, 6, replace=False) + 1
        value = rng.integers(1, 9, 6) * (rng.random(6) < 0.5)
        requests.append(logged(shown, value))
        size = int(rng.integers(0, 9))
        lists.append(rng.choice(20, size, replace=False) + 1)
    for k in (1, 3, 5, 10):
        found = value_ndcg(requests, lists, k)
        expected = [
            literal_ndcg(one, ids.tolist(), k)
            for one, ids in zip(requests, lists, strict=True)
        ]
        np.testing.assert_allclose(found, expected, atol=1e-12)
