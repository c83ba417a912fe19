"""GradNorm: objectives of other rates and magnitudes get their shares."""

import numpy as np
import pytest
import tensorflow as tf

from jd_tf.schema import DataError
from jd_tf.training.balancing.grad_norm import GradNorm
from jd_tf.training.build_from_config import build_balancer
from jd_tf.training.config import BALANCERS, TrainingConfig
from jd_tf.training.gradients import shared_norms

NAMES = ("click", "cart", "order")
EVERYWHERE = tf.ones(3)


def settle(balancer, norms, losses=(0.5, 0.5, 0.5), steps=300):
    """Shares of the gradient after many alike steps."""
    for _ in range(steps):
        balancer.observe(tf.constant(losses), EVERYWHERE, tf.constant(norms))
    weighted = balancer.weights(EVERYWHERE, EVERYWHERE).numpy() * norms
    return weighted / weighted.sum()


@pytest.mark.parametrize("shares", [(1.0, 1.0, 1.0), (1.0, 2.0, 5.0)])
def test_gradients_get_the_fixed_shares_whatever_the_magnitude(shares):
    balancer = GradNorm(NAMES, shares)
    norms = np.array([1e-2, 1.0, 1e2], np.float32)
    weighted = settle(balancer, norms)
    np.testing.assert_allclose(
        weighted, np.divide(shares, sum(shares)), rtol=1e-3
    )
    weights = balancer.weights(EVERYWHERE, EVERYWHERE).numpy()
    np.testing.assert_allclose(weights.sum(), sum(shares), rtol=1e-5)
    wanted = np.divide(shares, norms)
    wanted *= sum(shares) / wanted.sum()
    np.testing.assert_allclose(weights, wanted, rtol=1e-3)


def test_what_learns_slowly_gets_a_larger_share():
    losses = tf.constant([1.0, 1.0, 1.0])
    norms = tf.constant([1.0, 1.0, 1.0])
    later = tf.constant([0.2, 0.4, 0.8])
    shares = {}
    for strength in (0.0, 1.0):
        balancer = GradNorm(NAMES, strength=strength)
        for _ in range(20):
            balancer.observe(losses, EVERYWHERE, norms)
        shares[strength] = settle(balancer, np.ones(3, "float32"), later, 500)
    np.testing.assert_allclose(shares[0.0], 1 / 3, rtol=1e-3)
    np.testing.assert_allclose(shares[1.0], np.array([1, 2, 4]) / 7, rtol=1e-3)


def test_weights_are_the_fixed_ones_until_something_is_observed():
    balancer = GradNorm(NAMES, (1.0, 4.0, 0.0))
    weights = balancer.weights(EVERYWHERE, EVERYWHERE)
    assert weights.numpy().tolist() == [1, 4, 0]


def test_one_of_no_weight_stays_out():
    balancer = GradNorm(NAMES, (1.0, 4.0, 0.0))
    settle(balancer, np.array([1.0, 1.0, 50.0], np.float32))
    weights = balancer.weights(EVERYWHERE, EVERYWHERE).numpy()
    np.testing.assert_allclose(weights, [1, 4, 0], rtol=1e-3)


def test_absent_and_broken_steps_change_nothing_of_their_objective():
    balancer = GradNorm(NAMES)
    settle(balancer, np.array([1.0, 2.0, 4.0], np.float32))
    kept = ("norms", "losses", "counts")
    before = {n: balancer.variables[n].numpy() for n in kept}
    balancer.observe(
        tf.constant([0.5, 0.5, np.nan]),
        tf.constant([1.0, 0.0, 1.0]),
        tf.constant([1.0, 9.0, np.inf]),
    )
    for name in kept:
        after = balancer.variables[name].numpy()
        assert after[1:].tolist() == before[name][1:].tolist()
        assert after[0] != before[name][0] or name == "counts"
    assert np.isfinite(balancer.weights(EVERYWHERE, EVERYWHERE)).all()


def test_an_objective_never_met_keeps_its_weight():
    balancer = GradNorm(NAMES)
    for _ in range(50):
        balancer.observe(
            tf.constant([0.5, 0.4, 0.0]),
            tf.constant([9.0, 9.0, 0.0]),
            tf.constant([1.0, 10.0, 0.0]),
        )
    weights = balancer.weights(EVERYWHERE, EVERYWHERE).numpy()
    assert np.isfinite(weights).all()
    assert weights.min() > 0
    assert weights[0] > 5 * weights[1]


def _shop(rng, num_rows=256):
    """Features, labels of three objectives, the last one in a hundred."""
    features = rng.normal(size=(num_rows, 8)).astype("float32")
    signal = features @ rng.normal(size=(8, 3))
    rates = np.array([0.3, 0.3, 0.003])
    cut = np.log(rates / (1 - rates))
    labels = rng.random((num_rows, 3)) < 1 / (1 + np.exp(-signal - cut))
    return features, labels.astype("float32")


def _train(balancer, scales, steps=250):
    """Shares of the gradient of a shared layer, step by step."""
    rng = np.random.default_rng(5)
    shared = tf.Variable(rng.normal(size=(8, 8)).astype("float32") * 0.3)
    towers = tf.Variable(rng.normal(size=(8, 3)).astype("float32") * 0.3)
    bias = tf.Variable(tf.constant([-0.8, -0.8, -5.8]))
    scales = tf.constant(scales, tf.float32)
    weight_sums = tf.fill([3], 256.0)

    @tf.function(autograph=False)
    def step(features, labels):
        with tf.GradientTape(persistent=True) as tape:
            hidden = tf.tanh(features @ shared)
            logits = hidden @ towers + bias
            cells = tf.nn.sigmoid_cross_entropy_with_logits(labels, logits)
            losses = scales * tf.reduce_mean(cells, axis=0)
            each = tf.unstack(losses)
            weights = balancer.weights(losses, weight_sums)
            total = balancer.total(losses, weight_sums, weights)
        norms = shared_norms(tape, each, hidden)
        weighted = weights * norms
        balancer.observe(losses, weight_sums, norms)
        variables = [shared, towers, bias]
        variables += [v.value for v in balancer.trainable_variables]
        gradients = tape.gradient(total, variables)
        for variable, gradient in zip(variables, gradients, strict=True):
            # One of 100 times the loss would throw plain descent off.
            variable.assign_sub(0.05 * tf.clip_by_norm(gradient, 1.0))
        return weighted / tf.reduce_sum(weighted)

    return np.array([step(*_shop(rng)).numpy() for _ in range(steps)])


@pytest.mark.parametrize("balance", BALANCERS)
def test_a_rare_label_and_a_huge_loss_do_not_decide_alone(balance):
    balancer = build_balancer(TrainingConfig(balance=balance), NAMES)
    shares = _train(balancer, (1.0, 100.0, 1.0))[-100:].mean(axis=0)
    if balance == "fixed":
        assert shares[1] > 0.95
    else:
        assert shares.min() > 0.15
        assert shares.max() < 0.55


@pytest.mark.parametrize("traced", [False, True])
def test_norms_are_those_of_the_gradients(traced):
    shared = tf.Variable([[1.0, 2.0]])

    def norms():
        with tf.GradientTape(persistent=True) as tape:
            hidden = 2.0 * shared
            total = tf.reduce_sum(hidden)
            losses = [3.0 * hidden[0, 0], total, tf.constant(1.0)]
        return shared_norms(tape, losses, hidden)

    found = tf.function(norms, autograph=False)() if traced else norms()
    np.testing.assert_allclose(found, [3.0, np.sqrt(2.0), 0.0], rtol=1e-6)


@pytest.mark.parametrize("wrong", [{"strength": -1.0}, {"decay": 1.0}])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        GradNorm(NAMES, **wrong)


def test_all_weights_zero_are_refused():
    with pytest.raises(DataError, match="objective_weights"):
        GradNorm(NAMES, (0.0, 0.0, 0.0))
