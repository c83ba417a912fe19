"""The chain answers in time, whatever its stages do, and says so."""

import json
import threading
import time

import numpy as np
import pytest

from jd_tf.pipeline.recall.merging import Merge
from jd_tf.pipeline.stages.stage import ScoredItems
from jd_tf.schema import DataError
from tests.pipeline.shop import (
    NUM_ITEMS,
    FixedChannel,
    FixedStage,
    by_key,
    chain,
    request,
)

# What a busy machine may add to a deadline.
SLACK = 0.4


@pytest.fixture
def hanging():
    """A call that does not return before the test ends."""
    event = threading.Event()
    yield lambda *_: event.wait(30) and None
    event.set()


def fails(*_):
    raise RuntimeError("no such table")


def statuses(found):
    return {trace.stage: trace.status for trace in found.trace}


def test_each_stage_orders_what_the_one_before_passed_on():
    coarse = FixedStage("coarse", key=lambda item: -abs(item - 20))
    fine = FixedStage("fine", key=lambda item: item % 7 + item / 100)
    found = chain([(coarse, 10, 0.5), (fine, 4, 0.5)]).recommend(request())
    passed = sorted(range(1, 41), key=lambda item: -abs(item - 20) * 10)
    near = sorted(passed, key=lambda item: abs(item - 20))[:10]
    expected = sorted(near, key=lambda i: i % 7 + i / 100, reverse=True)[:4]
    assert found.item_id.tolist() == expected
    assert statuses(found) == {"recall": "ok", "coarse": "ok", "fine": "ok"}
    assert found.degraded == ()
    assert [(t.given, t.passed) for t in found.trace] == [
        (1, 40),
        (40, 10),
        (10, 4),
    ]
    first = found.explanations[0]
    assert first["ranks"]["recall"] == expected[0]
    assert first["ranks"]["coarse"] == 1 + near.index(expected[0])
    assert first["ranks"]["fine"] == first["place"] == 1
    assert first["channels"] == {"all": expected[0]}
    assert first["score"] == expected[0] % 7 + expected[0] / 100
    json.dumps(found.to_json())


def test_a_failing_stage_leaves_the_cheaper_order():
    coarse = FixedStage("coarse", key=lambda item: item)
    fine = FixedStage("fine", answer=fails)
    found = chain([(coarse, 10, 0.5), (fine, 3, 0.5)]).recommend(request())
    assert found.item_id.tolist() == [40, 39, 38]
    assert statuses(found)["fine"] == "failed"
    assert "no such table" in found.trace[-1].problem
    assert found.degraded == ("fine",)
    assert "fine" not in found.explanations[0]["ranks"]


def exits(*_):
    raise SystemExit(3)


def test_a_stage_that_exits_ends_nobody_else():
    stages = [(FixedStage("fine", answer=exits), 3, 0.5)]
    found = chain(stages).recommend(request())
    assert found.item_id.tolist() == [1, 2, 3]
    assert statuses(found)["fine"] == "failed"
    assert "SystemExit(3)" in found.trace[-1].problem


def test_a_hanging_stage_is_not_waited_for(hanging):
    stages = [
        (FixedStage("coarse", answer=hanging), 10, 0.1),
        (FixedStage("fine", key=lambda item: item), 3, 0.5),
    ]
    recommender = chain(stages, deadline=0.9)
    start = time.monotonic()
    found = recommender.recommend(request())
    assert 0.1 <= time.monotonic() - start < 0.1 + SLACK
    assert found.item_id.tolist() == [10, 9, 8]
    assert statuses(found)["coarse"] == "late"
    assert statuses(found)["fine"] == "ok"


def test_a_stage_that_hangs_for_all_costs_few_threads(hanging):
    stage = FixedStage("fine", answer=hanging)
    recommender = chain([(stage, 3, 0.02)], most_running=2)
    found = [recommender.recommend(request()) for _ in range(6)]
    assert [statuses(f)["fine"] for f in found] == ["late"] * 2 + ["busy"] * 4
    assert found[-1].item_id.tolist() == [1, 2, 3]
    stats = recommender.stats()
    assert stats["running"] == {"fine": 2}
    assert stats["fine"]["outcomes"] == {"late": 2, "busy": 4}
    assert stats["recall"]["outcomes"] == {"ok": 6}
    assert stats["all"]["requests"] == 6
    assert stats["fine"]["p99_ms"] >= 20


def test_the_first_call_may_take_longer_when_it_is_warmed_up():
    calls = []

    def answer(items):
        # The first call is slow, as that of a model.
        calls.append(len(items))
        time.sleep(0.0 if len(calls) > 1 else 0.4)
        return by_key(items, lambda item: item)

    stages = [(FixedStage("fine", answer=answer), 3, 0.1)]
    recommender = chain(stages)
    warmed = recommender.warm_up(request(), seconds=20.0)
    assert statuses(warmed)["fine"] == "ok"
    assert warmed.trace[-1].seconds >= 0.4
    assert statuses(recommender.recommend(request()))["fine"] == "ok"
    # Only what users waited for is counted.
    assert recommender.stats()["fine"]["requests"] == 1


def test_threads_that_end_can_be_used_again():
    stage = FixedStage("fine", key=lambda item: item)
    recommender = chain([(stage, 3, 0.5)], most_running=1)
    for _ in range(5):
        assert statuses(recommender.recommend(request()))["fine"] == "ok"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda ids: [900, *ids, 901], "2 items unknown"),
        (lambda ids: [ids[0], *ids, ids[3]], "2 items twice"),
        (lambda ids: ids[:2], "3 items too few"),
        (lambda ids: [900, ids[0], ids[0]], "1 items unknown; 1 items twice"),
    ],
)
def test_wrong_answers_are_corrected(change, problem):
    def answer(items):
        ids = change(sorted(items.item_id.tolist(), reverse=True))
        return ScoredItems(np.array(ids), -np.arange(len(ids), dtype=float))

    stages = [(FixedStage("fine", answer=answer), 5, 0.5)]
    found = chain(stages, recall_count=9).recommend(request())
    kept = list(dict.fromkeys(i for i in change([9, 8, 7, 6, 5]) if i < 900))
    rest = [item for item in range(1, 10) if item not in kept]
    assert found.item_id.tolist() == [*kept, *rest][:5]
    assert statuses(found)["fine"] == "corrected"
    assert problem in found.trace[-1].problem
    assert found.degraded == ()


def test_scores_that_are_no_numbers_are_not_believed():
    def answer(items):
        found = by_key(items, lambda item: float(item))
        found.score[0] = np.nan
        return found

    stages = [(FixedStage("fine", answer=answer), 3, 0.5)]
    found = chain(stages, recall_count=5).recommend(request())
    assert found.item_id.tolist() == [4, 3, 2]
    assert "1 items without a finite score" in found.trace[-1].problem


@pytest.mark.parametrize("ids", [[], [900, 901]])
def test_an_answer_without_items_is_empty(ids):
    def answer(items):
        return ScoredItems(np.array(ids, int), np.zeros(len(ids)))

    stages = [(FixedStage("fine", answer=answer), 3, 0.5)]
    found = chain(stages).recommend(request())
    assert found.item_id.tolist() == [1, 2, 3]
    assert statuses(found)["fine"] == "empty"


def test_channels_are_merged_and_named():
    channels = [
        FixedChannel("even", range(2, 50, 2)),
        FixedChannel("small", range(1, 9)),
    ]
    found = chain([], channels, recall_count=7).recommend(request())
    scores = {
        item: (1 / (10 + item / 2) if item % 2 == 0 else 0)
        + (1 / (10 + item) if item < 9 else 0)
        for item in range(1, 50)
    }
    expected = sorted(scores, key=lambda item: -scores[item])[:7]
    assert found.item_id.tolist() == expected
    assert found.explanations[0]["channels"] == {"even": 1, "small": 2}
    last = next(e for e in found.explanations if e["item_id"] == 1)
    assert last["channels"] == {"small": 1}


def test_channels_that_fail_or_hang_are_left_out(hanging):
    channels = [
        FixedChannel("bad", [5], before=fails),
        FixedChannel("slow", [6], before=hanging),
        FixedChannel("good", [3, 999, 4]),
    ]
    recommender = chain([], channels, recall_seconds=0.1)
    start = time.monotonic()
    found = recommender.recommend(request())
    assert time.monotonic() - start < 0.1 + SLACK
    assert found.item_id.tolist() == [3, 4]
    problem = found.trace[0].problem
    for part in ("bad: failed", "slow: late", "good: items that the catalogue"):
        assert part in problem
    assert statuses(found)["recall"] == "corrected"


def test_channels_that_answer_nonsense():
    """Items twice are taken out; what is no list at all is not believed."""
    channels = [FixedChannel("twice", [3, 3, 5, 3])]
    found = chain([], channels).recommend(request())
    assert found.item_id.tolist() == [3, 5]
    assert found.trace[0].problem == "twice: 2 items twice"
    channels[0].recall = lambda *_: None
    found = chain([], channels).recommend(request())
    assert found.item_id.tolist() == [7, 8, 9]
    assert "merge: failed" in found.trace[0].problem


def test_without_recall_the_fallback_list_is_ranked():
    channels = [FixedChannel("bad", [5], before=fails)]
    stage = FixedStage("fine", key=lambda item: item)
    recommender = chain([(stage, 3, 0.5)], channels)
    found = recommender.recommend(request(), blocked=np.array([8]))
    assert found.item_id.tolist() == [9, 7]
    assert found.degraded == ("recall",)
    assert "fallback list" in found.trace[0].problem
    nothing = recommender.recommend(request(), blocked=np.array([7, 8, 9]))
    assert not len(nothing.item_id)
    assert statuses(nothing)["fine"] == "skipped"


def test_blocked_and_bought_items_never_come():
    user = request(3)
    user["order_item_id"] = np.array([1, 3, 900])
    for name in ("category_id", "brand_id", "tag_id", "event_time"):
        user[f"order_{name}"] = np.resize(user[f"click_{name}"], 3)
    user["order_item_dense"] = np.ones((3, 1))
    user["order_event_time"] = np.array([3, 2, 1])
    recommender = chain([], excluded=("order",), recall_count=NUM_ITEMS)
    found = recommender.recommend(user, np.array([2]), pins={0: 3}).item_id
    assert not {1, 2, 3} & set(found.tolist())
    # An unknown excluded item excludes no other.
    assert {4, NUM_ITEMS} <= set(found.tolist())


def test_a_pinned_item_is_not_cut():
    """It goes through every cut, whether recall brings it or not."""
    coarse = FixedStage("coarse", key=lambda item: -item)
    last = FixedStage("last", key=lambda item: item)
    recommender = chain([(coarse, 3, 0.5), (last, 4, 0.5)], recall_count=20)
    found = recommender.recommend(request(), pins={0: 55, 1: 19})
    assert found.item_id.tolist() == [55, 19, 3, 2]
    # Unknown to the catalogue.
    found = recommender.recommend(request(), pins={0: 777})
    assert found.item_id.tolist() == [3, 2, 1]


def test_stages_must_fit_into_the_deadline():
    stage = FixedStage("fine", key=lambda item: item)
    with pytest.raises(DataError, match=r"1\.3 s together, more than the"):
        chain([(stage, 3, 1.0)], deadline=1.2)
    with pytest.raises(DataError, match="different names"):
        chain([(stage, 3, 0.1), (stage, 3, 0.1)])
    twice = [FixedChannel("one", [1]), FixedChannel("one", [2])]
    with pytest.raises(DataError, match="channels need different names"):
        chain([], twice)
    with pytest.raises(DataError, match="no channel `two` to merge"):
        chain([], twice[:1], merging=Merge(quotas={"two": 1}))
    with pytest.raises(DataError, match="quotas keep 41 places of 40"):
        chain([], twice[:1], merging=Merge(quotas={"one": 41}))


def test_a_wrong_request_is_refused():
    wrong = request()
    del wrong["request_time"]
    recommender = chain([])
    with pytest.raises(DataError, match="missing: `request_time`"):
        recommender.recommend(wrong)


def test_many_users_at_once():
    stage = FixedStage("fine", key=lambda item: item)
    recommender = chain([(stage, 3, 1.0)], most_running=64)
    answers = []

    def ask():
        for _ in range(5):
            answers.append(recommender.recommend(request()).item_id.tolist())

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [[40, 39, 38]] * 30
    assert recommender.stats()["all"]["requests"] == 30
