"""Estimates of rankings that were not shown, against the simulator's truth."""

import numpy as np
import pytest

from jd_tf.data.simulator import BehaviorParameters, Simulator, SimulatorConfig
from jd_tf.data.simulator.behavior import CLICK
from jd_tf.data.simulator.people.actions import examination
from jd_tf.metrics import (
    doubly_robust_value,
    inverse_propensity_value,
    plackett_luce_exposure,
    rank_exposure,
)

NUM_DRAWS, NUM_PLACES = 300, 10
CURVE = examination(BehaviorParameters(position_decay=1.0), NUM_PLACES)


@pytest.fixture(scope="module")
def requests():
    shop = Simulator(
        SimulatorConfig(
            num_users=60,
            num_items=200,
            num_requests=600,
            num_days=7,
            num_warm_up_days=7,
            num_categories=8,
            num_brands=16,
            num_shops=20,
            block_size=60,
        )
    )
    found = [r for r in shop.requests("train") if len(r["item_id"]) == 10]
    return {
        name: np.stack([request[name] for request in found])
        for name in ("oracle_relevance", "labels", "item_dense")
    }


@pytest.fixture(scope="module")
def world(requests):
    """Clicks by relevance, a stochastic log, and another order to be judged."""
    relevance = requests["oracle_relevance"][..., CLICK].astype(float)
    scores = 2.0 * np.log(requests["item_dense"][..., 3])
    target = rank_exposure(-scores, CURVE)
    return {
        "relevance": relevance,
        "scores": scores,
        "target": target,
        "logged": plackett_luce_exposure(scores, CURVE, 4_000),
        "truth": (target * relevance).sum(axis=1).mean(),
    }


@pytest.fixture(scope="module")
def draws(world):
    """Estimates of every kind, by repeated logs of the same requests."""
    rng = np.random.default_rng(7)
    relevance, scores = world["relevance"], world["scores"]
    target, logged = world["target"], world["logged"]
    # A model that is wrong: half of the truth, half the same for all.
    rough = 0.5 * relevance + 0.5 * relevance.mean()
    kinds = {"naive": [], "ips": [], "clipped": [], "normalized": [], "dr": []}
    errors = []
    for _ in range(NUM_DRAWS):
        exposure = rank_exposure(scores + rng.gumbel(size=scores.shape), CURVE)
        clicks = rng.random(scores.shape) < exposure * relevance
        log = (target, logged, exposure)
        found = inverse_propensity_value(clicks, *log)
        errors.append(found.standard_error)
        kinds["naive"].append(clicks.sum(axis=1).mean())
        kinds["ips"].append(found.value)
        kinds["clipped"].append(
            inverse_propensity_value(clicks, *log, 1.0).value
        )
        kinds["normalized"].append(
            inverse_propensity_value(clicks, *log, self_normalized=True).value
        )
        kinds["dr"].append(doubly_robust_value(clicks, rough, *log).value)
    return {k: np.array(v) - world["truth"] for k, v in kinds.items()}, errors


@pytest.mark.parametrize("kind", ["ips", "normalized", "dr"])
def test_estimates_are_unbiased_over_repeated_logs(draws, kind):
    error = draws[0][kind]
    assert abs(error.mean()) < 4 * error.std() / np.sqrt(NUM_DRAWS) + 2e-3


def test_what_is_not_corrected_is_biased(draws):
    spread = draws[0]["ips"].std() / np.sqrt(NUM_DRAWS)
    assert abs(draws[0]["naive"].mean()) > 10 * spread
    assert draws[0]["clipped"].mean() < -10 * spread


def test_clipping_and_predictions_lower_the_variance(draws):
    spread = {kind: error.std() for kind, error in draws[0].items()}
    assert spread["clipped"] < 0.9 * spread["ips"]
    assert spread["dr"] < spread["ips"]


def test_the_standard_error_covers_requests_and_clicks(world, draws):
    """Requests are the same in all draws, so their spread comes on top."""
    fixed = (world["target"] * world["relevance"]).sum(axis=1)
    whole = np.hypot(draws[0]["ips"].std(), fixed.std() / len(fixed) ** 0.5)
    assert np.mean(draws[1]) == pytest.approx(whole, rel=0.1)


def test_predictions_that_are_right_need_no_right_propensities(world):
    rng, wrong = np.random.default_rng(3), np.full_like(world["logged"], 0.9)
    exposure = rank_exposure(world["scores"], CURVE)
    relevance, target = world["relevance"], world["target"]
    found = [
        (
            doubly_robust_value(
                clicks, relevance, target, wrong, exposure
            ).value,
            inverse_propensity_value(clicks, target, wrong, exposure).value,
        )
        for clicks in rng.random((200, *relevance.shape)) < exposure * relevance
    ]
    robust, inverse = np.mean(found, axis=0)
    assert robust == pytest.approx(world["truth"], rel=0.03)
    assert abs(inverse - world["truth"]) > 0.2 * world["truth"]


def test_self_normalization_cancels_a_common_error_of_propensities(world):
    rng, target, logged = (
        np.random.default_rng(4),
        world["target"],
        world["logged"],
    )
    exposure = rank_exposure(
        world["scores"] + rng.gumbel(size=target.shape), CURVE
    )
    clicks = rng.random(target.shape) < exposure * world["relevance"]
    right, wrong = (
        inverse_propensity_value(
            clicks, target, factor * logged, exposure, self_normalized=True
        )
        for factor in (1.0, 0.5)
    )
    assert wrong.value == pytest.approx(right.value)
    assert wrong.standard_error == pytest.approx(right.standard_error)
    np.testing.assert_allclose(wrong.per_request.mean(), wrong.value)


def test_the_simulated_log_itself_tells_of_another_order(requests):
    """Its propensity is that of being examined, which is documented."""
    exposure = np.tile(
        examination(BehaviorParameters(), NUM_PLACES),
        (len(requests["labels"]), 1),
    )
    target = exposure[:, ::-1]
    clicks = requests["labels"][..., CLICK]
    truth = (target * requests["oracle_relevance"][..., CLICK]).sum(axis=1)
    found = inverse_propensity_value(clicks, target, exposure)
    assert abs(found.value - truth.mean()) < 4 * found.standard_error
    naive = clicks.sum(axis=1).mean()
    assert found.standard_error < 0.2 * naive
    same = doubly_robust_value(
        clicks, truth[:, None], target, exposure, exposure
    )
    assert same.value == pytest.approx(found.value)


def test_choosing_one_action_is_a_special_case():
    """Three actions, one request: the mean over all logs is the truth."""
    logged = np.array([[0.5, 0.3, 0.2]])
    target = np.array([[0.1, 0.1, 0.8]])
    reward, guess = np.array([[1.0, 2.0, 4.0]]), np.array([[9.0, -1.0, 2.0]])
    inverse = robust = 0.0
    for action in range(3):
        chosen = np.eye(3)[[action]]
        log = (target, logged, chosen)
        inverse += (
            logged[0, action]
            * inverse_propensity_value(reward * chosen, *log).value
        )
        robust += (
            logged[0, action]
            * doubly_robust_value(reward * chosen, guess, *log).value
        )
    assert inverse == pytest.approx((target * reward).sum())
    assert robust == pytest.approx((target * reward).sum())


def test_expected_exposure_of_two_items_is_known():
    """With two items the chance of the first place is a logistic function."""
    score = np.array([[1.0, 0.0], [0.0, 0.0]])
    found = plackett_luce_exposure(score, np.array([1.0]), 20_000)
    first = 1 / (1 + np.exp(-score[:, 0]))
    np.testing.assert_allclose(
        found, np.stack([first, 1 - first], 1), atol=0.02
    )


def test_padding_has_no_exposure_and_no_support_is_refused():
    exposure = rank_exposure(
        np.array([[-np.inf, 2.0, 3.0]]), np.array([1.0, 0.5, 0.2])
    )
    assert exposure.tolist() == [[0.0, 0.5, 1.0]]
    ones = np.ones((1, 3))
    with pytest.raises(ValueError, match=r"1 candidates have a `target`"):
        inverse_propensity_value(ones, ones, exposure)
    with pytest.raises(ValueError, match="largest_weight"):
        inverse_propensity_value(ones, exposure, ones, largest_weight=0.0)
