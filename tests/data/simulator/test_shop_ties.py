"""Ties between items of the simulated shop, against the equations."""

import dataclasses
import itertools

import numpy as np
import pytest

from jd_tf.data.simulator import BehaviorParameters, Simulator, SimulatorConfig
from jd_tf.data.simulator.people.outcome import outcome_chances
from jd_tf.data.simulator.people.users import Users
from tests.data.simulator.shown_lists import four_lists

BEHAVIOR = BehaviorParameters()


@pytest.fixture(scope="module")
def simulator():
    return Simulator(SimulatorConfig(num_items=600, seed=3))


@pytest.fixture(scope="module")
def shown(simulator):
    """Four users, the odd ones buying, in front of thirty items each."""
    rng = np.random.default_rng(2)
    catalogue = simulator.catalogue
    users = Users(4, catalogue, BEHAVIOR, rng)
    users.state.interest_need[:] = rng.random((4, 3)) < 0.5
    return four_lists(users, 600, rng)


def attraction(simulator, shown, **changes):
    """Logits of a wanted click, for lists that differ in some way."""
    lists = dataclasses.replace(shown, **changes)
    wanted = outcome_chances(simulator.catalogue, BEHAVIOR, lists).wanted
    return np.log(wanted / (1 - wanted))


def test_what_was_clicked_last_draws_to_substitutes_and_companions(
    simulator, shown
):
    catalogue, b = simulator.catalogue, BEHAVIOR
    anchor = shown.items[:, 0]
    clicks = np.array([1.0, 1.0, 3.0, 9.0])
    gained = attraction(simulator, shown, anchor=anchor, num_clicks=clicks)
    gained -= attraction(simulator, shown)
    for row, place in itertools.product(range(4), range(30)):
        one, other = anchor[row], shown.items[row, place]
        expected = 0.0
        if one != other and catalogue.circle[one] == catalogue.circle[other]:
            expected += b.click_same_circle
        pair = catalogue.category[one], catalogue.category[other]
        if one != other and pair[0] == pair[1]:
            apart = catalogue.price_level[one] - catalogue.price_level[other]
            narrow = np.exp(-0.5 * min(clicks[row], 4) * apart**2)
            expected += b.click_substitute[row % 2] * narrow
        if pair[1] in catalogue.goes_with[pair[0]]:
            expected += b.click_companion
        assert gained[row, place] == pytest.approx(expected, abs=1e-9)


def test_circles_of_the_interest_count_and_else_those_of_the_user(
    simulator, shown
):
    catalogue, tastes = simulator.catalogue, shown.tastes
    nobody = dataclasses.replace(
        tastes,
        interest_circle=np.full_like(tastes.interest_circle, -1),
        circles=np.full_like(tastes.circles, -1),
    )
    gained = attraction(simulator, shown)
    gained -= attraction(simulator, shown, tastes=nobody)
    kinds = set()
    for row, place in itertools.product(range(4), range(30)):
        item = shown.items[row, place]
        mine = list(tastes.interest_category[row])
        category, circle = catalogue.category[item], catalogue.circle[item]
        if category in mine:
            slot = mine.index(category)
            same = circle == tastes.interest_circle[row, slot]
        else:
            same = circle in tastes.circles[row]
        kinds.add((category in mine, bool(same)))
        expected = BEHAVIOR.click_circle * same
        assert gained[row, place] == pytest.approx(expected, abs=1e-9)
    assert len(kinds) == 4


def test_what_is_used_up_and_needed_is_bought_again(simulator, shown):
    catalogue, tastes = simulator.catalogue, shown.tastes
    gained = attraction(simulator, shown, owned=np.ones((4, 30), bool))
    gained -= attraction(simulator, shown)
    category = catalogue.category[shown.items]
    same = category[..., None] == tastes.interest_category[:, None]
    needed = (same & tastes.interest_need[:, None]).any(axis=2)
    again = needed & catalogue.consumed[category]
    assert again.any()
    expected = np.where(again, BEHAVIOR.click_again, BEHAVIOR.click_owned)
    np.testing.assert_allclose(gained, expected)


def test_trends_of_circles_swing(simulator, shown):
    half = shown.days + BEHAVIOR.trend_days / 2
    now, later = (
        attraction(simulator, shown),
        attraction(simulator, shown, days=half),
    )
    circle = simulator.catalogue.circle[shown.items]
    swing = (now - later) / 2
    assert np.abs(swing).max() <= BEHAVIOR.click_trend + 1e-9
    for number in range(BEHAVIOR.num_circles):
        part = swing[circle == number]
        np.testing.assert_allclose(part, part[0], atol=1e-9)
    assert swing.std() > 0.1


def test_a_purchase_calls_for_a_companion_and_comes_back_when_used_up(
    simulator,
):
    catalogue, count = simulator.catalogue, 400
    behavior = dataclasses.replace(
        BEHAVIOR, need_start_days=1e9, need_end_days=1e9, interest_days=1e9
    )
    users = Users(count, catalogue, behavior, np.random.default_rng(4))
    users.state.interest_need[:] = False
    before = users.state.interest_category.copy()
    everyone, bought = np.arange(count), before[:, 0].copy()
    users.bought(everyone, bought)
    need = users.state.interest_need
    asked = need.any(axis=1)
    assert asked.mean() == pytest.approx(behavior.complement_rate, abs=0.08)
    for user in np.flatnonzero(asked):
        wanted = users.state.interest_category[user][need[user]]
        assert len(wanted) == 1
        assert wanted[0] in catalogue.goes_with[bought[user]]
        assert len(set(users.state.interest_category[user])) == 3
    due = np.isfinite(users.state.interest_due)
    np.testing.assert_array_equal(due[:, 0], catalogue.consumed[bought])
    assert not due[:, 1:].any()
    # Long after, whatever is used up is needed.
    kept = users.state.interest_strength[:, 0] > 0
    users.pass_time(everyone, np.full(count, 100.0))
    again = users.state.interest_need[:, 0]
    np.testing.assert_array_equal(again[kept], due[kept, 0])


def test_interests_of_a_user_go_together(simulator):
    catalogue = simulator.catalogue
    users = Users(2_000, catalogue, BEHAVIOR, np.random.default_rng(5))
    category = users.state.interest_category
    ties = catalogue.companion[category[:, 0], category[:, 1]].mean()
    by_chance = catalogue.companion.mean()
    assert ties > 3 * by_chance
    assert (
        (
            users.state.interest_circle[:, :, None]
            == users.state.circles[:, None]
        )
        .any(axis=2)
        .all()
    )
