"""Items counted from the next time on, drawn by popularity."""

import collections
import random

import numpy as np

from jd_tf.data.sources.negative_sampling import NegativeSampler


def filled(counts, category=lambda item: 1):
    past = NegativeSampler(("arrivals", "orders"))
    past.advance(0)
    for item, count in counts.items():
        for _ in range(count):
            past.add(item, category(item))
    past.advance(1)
    return past


def test_an_event_counts_from_the_next_moment_on():
    past = NegativeSampler(("arrivals", "orders"))
    past.advance(10)
    past.add(5, 1)
    past.add(5, 1, 1)
    past.advance(10)
    assert 5 not in past
    assert past.counts(5) == [0, 0]
    assert past.category_visits(1) == 0
    assert past.draw(random.Random(0), 1, 1, 0.5, ()) is None
    past.advance(11)
    assert 5 in past
    assert past.counts(5) == [1, 1]
    assert [past.category_visits(c) for c in (1, 2)] == [1, 0]
    assert past.draw(random.Random(0), 1, 1, 0.5, ()) == [5]


def test_an_item_that_was_only_ordered_is_not_drawn():
    past = filled({1: 3})
    past.add(2, 1, 1)
    past.advance(2)
    assert 2 not in past
    assert past.counts(2) == [0, 1]
    assert past.draw(random.Random(0), 1, 1, 0.0, {1}) is None


def test_draws_follow_popularity():
    counts = {item: item for item in range(1, 21)}
    past = filled(counts)
    # A generator of its own for every draw, as requests have.
    drawn = collections.Counter(
        past.draw(random.Random(f"1/{n}"), 1, 1, 0.0, ())[0]
        for n in range(20_000)
    )
    shares = np.array([drawn[item] for item in counts]) / 20_000
    wanted = np.array(list(counts.values())) / sum(counts.values())
    # Four standard deviations of a share.
    assert (np.abs(shares - wanted) < 4 * np.sqrt(wanted / 20_000)).all()


def test_draws_are_distinct_and_keep_out_what_is_excluded():
    past = filled(dict.fromkeys(range(1, 11), 2))
    generator = random.Random(2)
    for _ in range(200):
        drawn = past.draw(generator, 6, 1, 0.3, {3, 4})
        assert len(set(drawn)) == 6
        assert not {3, 4} & set(drawn)
    assert past.draw(generator, 9, 1, 0.3, {3, 4}) is None


def test_same_category_share():
    past = filled(dict.fromkeys(range(100), 1), category=lambda item: item % 2)
    generator = random.Random(3)
    for share, expected in ((0.0, 0.5), (0.6, 0.8), (1.0, 1.0)):
        odd = [
            item % 2
            for _ in range(1000)
            for item in past.draw(generator, 4, 1, share, ())
        ]
        assert abs(np.mean(odd) - expected) < 0.03


def test_a_small_category_is_filled_up_from_all_items():
    past = filled({1: 1, 2: 1, 3: 5, 4: 5}, category=lambda item: item // 3)
    drawn = past.draw(random.Random(4), 3, 0, 1.0, ())
    assert {1, 2} < set(drawn)
    assert past.draw(random.Random(4), 2, 99, 1.0, ()) is not None
