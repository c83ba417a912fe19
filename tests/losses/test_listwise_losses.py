"""Losses over lists of candidates against a loop."""

import math

import numpy as np
import pytest
import tensorflow as tf

from jd_tf.losses.listwise_losses import listwise_losses
from jd_tf.losses.multi_objective import objective_losses
from tests.losses.random_cells import random_cells


def _loop(labels, logits, weights):
    losses, arrays = [], (labels, logits, weights)
    for objective in range(labels.shape[2]):
        total = mass = 0.0
        for request in range(len(labels)):
            taken = [a[request, :, objective].tolist() for a in arrays]
            cells = [cell for cell in zip(*taken, strict=True) if cell[2] > 0]
            mass += sum(weight for _, _, weight in cells)
            if len({label for label, _, _ in cells}) < 2:
                continue
            sum_of_all = sum(math.exp(logit) for _, logit, _ in cells)
            for label, logit, weight in cells:
                total -= weight * label * math.log(math.exp(logit) / sum_of_all)
        losses.append(total / mass if mass else 0.0)
    return losses


def test_losses_equal_a_loop():
    labels, logits, weights = random_cells()
    weights[..., 1] = 0
    losses = listwise_losses(labels, logits, weights)
    np.testing.assert_allclose(losses, _loop(labels, logits, weights), 1e-5)
    assert losses[0] > 0
    assert losses[1] == 0


def test_amounts_are_counted_in_their_unit():
    labels, logits, weights = random_cells()
    labels[..., 2] *= np.random.default_rng(1).random(labels.shape[:2]) * 90
    scaled = labels / np.array([1, 1, 30], "float32")
    found = listwise_losses(labels, logits, weights, [30.0])
    np.testing.assert_allclose(found, _loop(scaled, logits, weights), 1e-5)


def test_amounts_with_their_deviance_are_shares_and_a_total():
    """Poisson's likelihood is that of the sum times that of the shares."""
    random = np.random.default_rng(2)
    amounts = random.gamma(2.0, 20.0, (1, 5, 1)).astype("float32")
    logits = tf.Variable(random.normal(size=(1, 5, 1)).astype("float32"))
    weights = np.ones_like(amounts)
    with tf.GradientTape() as tape:
        loss, _ = objective_losses(amounts, logits, weights, [30.0])
    whole = tape.gradient(loss, logits).numpy()
    with tf.GradientTape() as tape:
        loss = listwise_losses(amounts, logits, weights, [30.0])
    shares = tape.gradient(loss, logits).numpy()
    # Where the total is right, the shares are all that is left to learn.
    shift = np.log(amounts.sum() / 30 / np.exp(logits).sum())
    logits.assign_add(np.full_like(amounts, shift))
    with tf.GradientTape() as tape:
        loss, _ = objective_losses(amounts, logits, weights, [30.0])
    np.testing.assert_allclose(tape.gradient(loss, logits), shares, atol=1e-5)
    assert np.abs(whole - shares).max() > 0.01


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_cells_without_weight_may_hold_anything(bad):
    labels, logits, weights = random_cells()
    expected = listwise_losses(labels, logits, weights)
    moved = tf.Variable(np.where(weights, logits, bad).astype("float32"))
    labels = np.where(weights, labels, np.nan).astype("float32")
    with tf.GradientTape() as tape:
        losses = listwise_losses(labels, moved, weights)
    np.testing.assert_array_equal(losses, expected)
    gradient = tape.gradient(losses, moved).numpy()
    assert np.isfinite(gradient).all()
    assert (gradient[weights == 0] == 0).all()


def test_what_all_candidates_share_changes_nothing():
    labels, logits, weights = random_cells()
    shift = np.random.default_rng(3).normal(size=(4, 1, 3), scale=4)
    moved = listwise_losses(labels, (logits + shift).astype("float32"), weights)
    expected = listwise_losses(labels, logits, weights)
    np.testing.assert_allclose(moved, expected, rtol=1e-4)
