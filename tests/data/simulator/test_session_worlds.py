"""Session worlds: what sets them apart from the documented shop."""

import dataclasses
import itertools

import numpy as np
import pytest

from jd_tf.data.simulator import BehaviorParameters, Simulator, SimulatorConfig
from jd_tf.data.simulator.behavior import CART, OBJECTIVES, SESSION_WORLDS
from jd_tf.data.simulator.people.actions import session_reward
from jd_tf.data.simulator.people.outcome import outcome_chances
from jd_tf.data.simulator.people.users import Users
from tests.data.simulator.shown_lists import four_lists

SMALL = {"num_users": 40, "num_items": 200, "num_requests": 600, "num_days": 6}


@pytest.fixture(scope="module")
def worlds():
    return Simulator(SimulatorConfig(**SMALL, session_worlds=True))


def test_only_the_flag_and_the_coefficients_given_make_worlds(worlds):
    assert worlds.behavior == SESSION_WORLDS
    assert Simulator(SimulatorConfig(**SMALL)).behavior == BehaviorParameters()
    plain = BehaviorParameters()
    assert Simulator(worlds.config, plain).behavior == plain
    assert not plain.session_values


def test_requests_are_rewarded_by_the_values_of_their_kind(worlds):
    seen = set()
    for request in worlds.requests("train"):
        intent = int(request["oracle_intent"])
        values = SESSION_WORLDS.session_values[intent]
        for labels, reward in zip(
            request["labels"], request["reward"], strict=True
        ):
            done = itertools.compress(values, labels)
            assert reward == pytest.approx(sum(done), rel=1e-6)
            seen.update((intent, t) for t in np.flatnonzero(labels))
    assert len(seen) > len(OBJECTIVES)


def test_other_shops_reward_as_before():
    plain = dataclasses.replace(SESSION_WORLDS, session_values=())
    labels = np.zeros((2, 1, len(OBJECTIVES)), bool)
    labels[..., CART] = True
    nothing = np.zeros((2, 1), bool)
    reward = session_reward(plain, np.array([0, 1]), labels, nothing)
    assert reward.tolist() == [[5.0], [5.0]]
    reward = session_reward(SESSION_WORLDS, np.array([0, 1]), labels, nothing)
    assert reward.tolist() == [[0.5], [5.0]]


def test_dear_goods_are_looked_at_and_not_bought(worlds):
    rng = np.random.default_rng(2)
    users = Users(4, worlds.catalogue, SESSION_WORLDS, rng)
    shown = four_lists(users, 200, rng)

    def logits(behavior):
        found = outcome_chances(worlds.catalogue, behavior, shown)
        chances = np.concatenate(
            [found.wanted[..., None], found.given_wanted[..., 1:]], axis=-1
        )
        return np.log(chances / (1 - chances))

    flat = dataclasses.replace(SESSION_WORLDS, click_dear=0.0, order_dear=0.0)
    level = worlds.catalogue.price_level[shown.items]
    # Wanted, long view, comment view, cart, favourite, order.
    slopes = np.array([1.0, 0.0, 0.0, -2.5, 0.0, -2.5])
    np.testing.assert_allclose(
        logits(SESSION_WORLDS) - logits(flat),
        level[..., None] * slopes,
        atol=1e-6,
    )
