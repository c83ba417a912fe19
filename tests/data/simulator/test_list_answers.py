"""Users answer lists they were not shown, with common random numbers."""

import numpy as np
import pytest
from scipy import stats

from jd_tf.data.simulator import Simulator
from jd_tf.data.simulator.behavior import CART, CLICK, ORDER
from jd_tf.data.simulator.people.keyed_draws import KeyedDraws
from jd_tf.schema import DataError
from tests.data.simulator.test_simulator import CONFIG


@pytest.fixture(scope="module")
def shop():
    return Simulator(CONFIG)


@pytest.fixture(scope="module")
def requests(shop):
    return {r["request_id"]: r for r in shop.requests("test")}


@pytest.fixture(scope="module")
def logged(requests):
    return {name: r["item_id"].tolist() for name, r in requests.items()}


def test_the_logged_list_has_the_logged_probabilities(shop, requests, logged):
    answers = shop.answer(logged)
    assert answers.keys() == logged.keys()
    assert len(logged) > 300
    for name, answer in answers.items():
        np.testing.assert_allclose(
            answer.probabilities,
            requests[name]["oracle_probabilities"],
            rtol=1e-6,
        )
        assert answer.reward.shape == (len(logged[name]),)
        # Nothing is done with what was not opened.
        assert not answer.labels[~answer.labels[:, CLICK]].any()


def test_the_log_stays_as_it_is(shop, logged):
    other = Simulator(CONFIG)
    other.answer({name: items[::-1] for name, items in logged.items()})
    for block in range(CONFIG.num_blocks):
        ours, theirs = (s.simulate_block(block) for s in (shop, other))
        for name, part in ours.requests.items():
            np.testing.assert_array_equal(part, theirs.requests[name])


def test_labels_come_at_their_probabilities(shop, logged):
    """Over seeds: each objective within three standard errors."""
    few = dict(list(logged.items())[:200])
    hits, chances, spread = (np.zeros(6) for _ in range(3))
    for seed in range(2):
        for answer in shop.answer(few, seed).values():
            p = answer.probabilities.astype(float)
            hits += answer.labels.sum(axis=0)
            chances += p.sum(axis=0)
            spread += (p * (1 - p)).sum(axis=0)
    assert hits[CLICK] > 300
    for one in (CLICK, CART, ORDER):
        assert abs(hits[one] - chances[one]) < 3 * np.sqrt(spread[one]), one


def test_an_item_is_liked_alike_in_every_list(shop, logged):
    """At the same place the same happens; further up it is seen at least."""
    backwards = {name: items[::-1] for name, items in logged.items()}
    first, second = shop.answer(logged), shop.answer(backwards)
    moved = 0
    for name, items in logged.items():
        one, two = first[name].labels, second[name].labels[::-1]
        place, other = np.arange(len(items)), np.arange(len(items))[::-1]
        same = place == other
        np.testing.assert_array_equal(one[same], two[same])
        lost = one[:, CLICK] & ~two[:, CLICK]
        assert (other[lost] > place[lost]).all()
        both = one[:, CLICK] & two[:, CLICK]
        np.testing.assert_array_equal(one[both], two[both])
        moved += lost.sum()
    assert moved > 10


def test_any_items_in_any_number(shop, logged):
    names = list(logged)[:2]
    lists = {names[0]: list(range(1, 41)), names[1]: [7]}
    answers = shop.answer(lists)
    assert answers[names[0]].labels.shape == (40, 6)
    assert answers[names[1]].labels.shape == (1, 6)
    alone = shop.answer({names[1]: [7]})[names[1]]
    np.testing.assert_array_equal(alone.labels, answers[names[1]].labels)


@pytest.mark.parametrize(
    ("name", "items", "message"),
    [
        ("", [0, 4], "ids from 1 to 400"),
        ("", [401], "ids from 1 to 400"),
        ("", [], "one at least"),
        ("", [3, 3], "an item is there twice"),
        ("1-0-99", [3], "`1-0-99`: is not of this shop"),
        ("9999-0-0", [3], "`9999-0-0`: is not of this shop"),
        ("0-0-0", [3], "`0-0-0`: is not of this shop"),
        ("r17", [3], "named user-session-step"),
    ],
)
def test_what_is_no_list_of_the_shop(shop, logged, name, items, message):
    with pytest.raises(DataError, match=message):
        shop.answer({name or next(iter(logged)): items})


def test_keyed_draws_have_their_distributions():
    keys = np.arange(40_000, dtype=np.uint64).reshape(200, 200)
    draws = KeyedDraws(keys)
    uniform = draws.random(keys.shape)
    logistic = draws.logistic(scale=2.0, size=keys.shape)
    counts = draws.poisson(np.full((*keys.shape, 2), 0.7))
    for sample, expected in (
        (uniform, stats.uniform()),
        (logistic, stats.logistic(scale=2.0)),
    ):
        found = stats.kstest(sample.ravel(), expected.cdf)
        assert found.pvalue > 0.001
    assert counts.mean() == pytest.approx(0.7, abs=0.01)
    assert counts.var() == pytest.approx(0.7, abs=0.02)
    correlation = np.corrcoef([uniform.ravel(), logistic.ravel()])[0, 1]
    assert abs(correlation) < 0.02
    assert abs(np.corrcoef(counts.reshape(-1, 2).T)[0, 1]) < 0.02
