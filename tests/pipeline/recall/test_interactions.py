"""Tests of `Interactions`."""

import numpy as np
import pytest

from jd_tf.data.dataset_making import make_dataset
from jd_tf.data.sources.sequences import SequencesSource
from jd_tf.pipeline.recall.interactions import Interactions
from jd_tf.schema import DataError
from tests.data.item_pairs.pair_logs import random_log, write_log
from tests.data.sources.timeline_files import timelines, write_timelines
from tests.pipeline.recall.small_interactions import ids_of, users_of


@pytest.mark.parametrize("texts", [False, True])
def test_an_item_counts_once_a_user_by_its_newest_time(texts):
    generator = np.random.default_rng(0)
    user, item = generator.integers(0, [[9], [7]], (2, 120))
    time, weight = generator.integers(0, 30, 120), generator.random(120)
    weight[:20] = 0
    ids = ids_of(item, texts)
    found = Interactions.of_events(user + 5, ids, time, weight)
    expected = {}
    for u, i, t, w in zip(user, ids, time, weight, strict=True):
        if w:
            before = expected.setdefault(u, {}).get(i, (t, np.float32(w)))
            new = max(before[0], t), max(before[1], np.float32(w))
            expected[u][i] = new
    got = [
        {found.item_id[row]: pair for row, pair in items.items()}
        for _, items in sorted(users_of(found).items())
    ]
    assert got == [expected[u] for u in sorted(expected)]
    assert (np.diff(found.user) >= 0).all()
    same_user = np.diff(found.user) == 0
    assert (np.diff(found.time)[same_user] >= 0).all()
    assert found.num_users == len(expected)
    assert found.matrix().toarray()[0].sum() == pytest.approx(
        sum(w for _, w in got[0].values()), rel=1e-6
    )


def test_the_newest_items_of_a_user_stay():
    user, item = np.zeros(6, int), np.array([1, 2, 3, 4, 2, 0])
    found = Interactions.of_events(user, item, np.arange(6), max_events=2)
    assert found.item_id[found.item].tolist() == [4, 2]
    assert found.popularity().tolist() == [1, 1]


def test_first_seen_is_of_all_users():
    user, item = np.array([0, 1, 1, 2]), np.array([5, 5, 9, 9])
    found = Interactions.of_events(user, item, np.array([30, 10, 40, 20]))
    assert found.first_seen().tolist() == [10, 20]


def test_without_events_is_an_error():
    nothing = np.zeros(0, np.int64)
    with pytest.raises(DataError, match="no events"):
        Interactions.of_events(nothing, nothing, nothing)
    with pytest.raises(DataError, match=r"`max_events`.*Got: 0"):
        Interactions.of_events(
            np.ones(1), np.ones(1, int), np.ones(1), max_events=0
        )


def test_records_and_timelines_give_the_same(tmp_path):
    """Records repeat events in each request, and know no times."""
    write_timelines(tmp_path / "logs", timelines())
    options = {"dataset": "Tiny", "num_negatives": 3}
    make_dataset("sequences", tmp_path / "data", tmp_path / "logs", **options)
    source = SequencesSource(tmp_path / "logs", **options)
    of_timelines = Interactions.of_timelines(source.timelines)
    of_records = Interactions.of_records(tmp_path / "data")

    def as_set(found):
        return sorted(
            tuple((int(found.item_id[i]), t) for i, (t, _) in items.items())
            for items in users_of(found).values()
            # A user of one training event has no training request.
            if len(items) > 1
        )

    assert as_set(of_timelines) == as_set(of_records)


def test_records_count_histories_and_positive_candidates(tmp_path):
    requests = random_log(6, 5, 20)
    data = write_log(tmp_path / "data", {"train": requests})
    found = Interactions.of_records(data, {"cart": 4.0})
    expected = {}
    for request in requests:
        events = [
            (item, time, weight)
            for name, weight in (("click", 1.0), ("cart", 4.0))
            for item, time in zip(
                request[f"{name}_item_id"],
                request[f"{name}_event_time"],
                strict=True,
            )
        ]
        for item, (click, cart) in zip(
            request["item_id"], request["labels"], strict=True
        ):
            if click or cart:
                weight = 4.0 if cart else 1.0
                events.append((item, request["request_time"], weight))
        mine = expected.setdefault(request["user_id"], {})
        for item, time, weight in events:
            before = mine.get(item, (0, 0))
            mine[item] = max(before[0], time), max(before[1], weight)
    got = [
        {int(found.item_id[i]): pair for i, pair in items.items()}
        for items in users_of(found).values()
    ]

    def ordered(users):
        return sorted(sorted(items.items()) for items in users)

    assert ordered(got) == ordered(expected.values())


def test_unknown_weights_are_refused(tmp_path):
    data = write_log(tmp_path / "data", {"train": random_log(2, 2, 9)})
    with pytest.raises(DataError, match=r"`share` to weigh, only click, cart"):
        Interactions.of_records(data, {"share": 2.0})
