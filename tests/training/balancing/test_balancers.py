"""Balancers against means written out."""

import numpy as np
import pytest
import tensorflow as tf

from jd_tf.schema import DataError
from jd_tf.training.balancing.loss_balancers import (
    LossBalancer,
    RunningMagnitude,
    Uncertainty,
)

NAMES = ("click", "order")


def test_fixed_weights():
    balancer = LossBalancer(NAMES, (1.0, 4.0))
    losses, weight_sums = tf.constant([0.5, 0.25]), tf.constant([1.0, 1.0])
    weights = balancer.weights(losses, weight_sums)
    assert weights.numpy().tolist() == [1, 4]
    assert float(balancer.total(losses, weight_sums, weights)) == 1.5
    assert not balancer.variables


def test_running_magnitude_is_the_weighted_mean_of_the_past():
    decay, fixed = 0.8, (1.0, 3.0)
    balancer = RunningMagnitude(NAMES, fixed, decay)
    losses = np.array([[0.5, 0.1], [0.4, 0.2], [0.3, 0.0], [0.6, 0.3]])
    present = np.array([[1, 1], [1, 1], [1, 0], [1, 1]], bool)
    for step in range(len(losses)):
        weights = balancer.weights(
            tf.constant(losses[step], tf.float32),
            tf.constant(present[step] * 9.0, tf.float32),
        )
        for objective in range(2):
            past = losses[: step + 1, objective]
            past = past[present[: step + 1, objective]]
            age = np.arange(len(past))[::-1]
            mean = (past * decay**age).sum() / (decay**age).sum()
            assert weights[objective].numpy() == pytest.approx(
                fixed[objective] / mean, rel=1e-5
            )


def test_first_step_starts_every_objective_at_its_fixed_weight():
    balancer = RunningMagnitude(NAMES, (1.0, 3.0))
    losses = tf.constant([0.6, 0.01])
    weights = balancer.weights(losses, tf.constant([1.0, 1.0]))
    np.testing.assert_allclose(losses * weights, [1, 3], rtol=1e-6)


def test_no_gradient_flows_through_the_means():
    balancer = RunningMagnitude(NAMES)
    losses = tf.Variable([0.5, 0.25])
    with tf.GradientTape() as tape:
        weight_sums = tf.constant([1.0, 1.0])
        weights = balancer.weights(losses, weight_sums)
        total = balancer.total(losses, weight_sums, weights)
    np.testing.assert_allclose(tape.gradient(total, losses), [2, 4])


def test_an_objective_never_met_counts_nothing_and_breaks_nothing():
    balancer = RunningMagnitude(NAMES)
    for _ in range(2):
        weights = balancer.weights(
            tf.constant([0.5, 0.0]), tf.constant([1.0, 0.0])
        )
    assert np.isfinite(weights).all()
    assert balancer.variables["counts"].numpy()[1] == 0


@pytest.mark.parametrize("weights", [(1.0,), (1.0, -1.0)])
def test_wrong_weights_are_refused(weights):
    with pytest.raises(DataError, match="click"):
        LossBalancer(NAMES, weights)


def test_wrong_decay_is_refused():
    with pytest.raises(ValueError, match=r"1\.0"):
        RunningMagnitude(NAMES, decay=1.0)


def test_uncertainty_settles_where_every_objective_adds_the_same():
    shares = np.array([1.0, 4.0])
    losses = np.array([0.5, 0.01], np.float32)
    balancer = Uncertainty(NAMES, shares)
    weight_sums = tf.constant([1.0, 1.0])
    variable = balancer.trainable_variables[0].value
    for _ in range(2000):
        with tf.GradientTape() as tape:
            weights = balancer.weights(losses, weight_sums)
            total = balancer.total(losses, weight_sums, weights)
        variable.assign_sub(0.05 * tape.gradient(total, variable))
    # The minimum of exp(-s) loss + s / 2, written out.
    np.testing.assert_allclose(weights, shares / (2 * losses), rtol=1e-3)
    spread = np.log(2 * losses)
    least = (shares * (losses / np.exp(spread) + spread / 2)).sum()
    np.testing.assert_allclose(total, least, rtol=1e-4)


def test_uncertainty_learns_nothing_of_an_absent_objective():
    balancer = Uncertainty(NAMES)
    losses, weight_sums = tf.constant([0.7, 0.0]), tf.constant([3.0, 0.0])
    variable = balancer.trainable_variables[0].value
    with tf.GradientTape() as tape:
        total = balancer.total(losses, weight_sums, None)
    gradient = tape.gradient(total, variable).numpy()
    assert gradient[0] != 0
    assert gradient[1] == 0


def test_weights_of_uncertainty_are_bounded():
    balancer = Uncertainty(NAMES)
    balancer.trainable_variables[0].assign([-100.0, 100.0])
    weights = balancer.weights(None, None).numpy()
    np.testing.assert_allclose(weights, np.exp([8.0, -8.0]), rtol=1e-5)


def test_uncertainty_finds_back_from_its_bound():
    balancer = Uncertainty(NAMES)
    variable = balancer.trainable_variables[0].value
    variable.assign([-12.0, 12.0])
    with tf.GradientTape() as tape:
        total = balancer.total(tf.constant([9.0, 1e-9]), tf.ones(2), None)
    slopes = tape.gradient(total, variable).numpy()
    assert slopes[0] < 0 < slopes[1]
