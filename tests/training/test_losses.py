"""Losses against a loop over cells."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from jd_tf.training.losses import (
    MultiObjectiveLoss,
    cell_weights,
    fit_data,
    objective_losses,
)


def _cells(seed=0, shape=(4, 5, 3)):
    random = np.random.default_rng(seed)
    labels = (random.random(shape) < 0.4).astype("float32")
    logits = random.normal(size=shape, scale=3).astype("float32")
    weights = random.choice([0.0, 1.0, 2.5], shape).astype("float32")
    return labels, logits, weights


def _loop(labels, logits, weights):
    losses = []
    for objective in range(labels.shape[2]):
        total = mass = 0.0
        for index in np.ndindex(labels.shape[:2]):
            cell = (*index, objective)
            probability = 1 / (1 + math.exp(-logits[cell]))
            hit = probability if labels[cell] else 1 - probability
            total -= weights[cell] * math.log(hit)
            mass += weights[cell]
        losses.append(total / mass if mass else 0.0)
    return losses


def test_losses_equal_a_loop():
    labels, logits, weights = _cells()
    weights[..., 1] = 0
    losses, masses = objective_losses(labels, logits, weights)
    np.testing.assert_allclose(losses, _loop(labels, logits, weights), 1e-5)
    np.testing.assert_allclose(masses, weights.sum(axis=(0, 1)))
    assert losses[1] == 0


def test_cells_without_weight_may_hold_anything():
    labels, logits, weights = _cells()
    expected, _ = objective_losses(labels, logits, weights)
    logits = tf.Variable(np.where(weights, logits, np.inf))
    labels = np.where(weights, labels, np.nan)
    with tf.GradientTape() as tape:
        losses, _ = objective_losses(labels, logits, weights)
    np.testing.assert_array_equal(losses, expected)
    gradient = tape.gradient(losses, logits).numpy()
    assert np.isfinite(gradient).all()
    assert (gradient[weights == 0] == 0).all()


def test_extreme_logits_have_finite_losses():
    logits = np.array([[[-200.0, 200.0]]], "float32")
    losses, _ = objective_losses(
        np.array([[[1.0, 0.0]]], "float32"), logits, np.ones((1, 1, 2), "f")
    )
    np.testing.assert_allclose(losses, [200.0, 200.0])


def test_padding_has_no_weight():
    weights = cell_weights(
        {
            "label_weights": tf.fill((2, 3, 2), 7.0),
            "num_candidates": tf.constant([2, 3]),
        }
    )
    assert weights.numpy()[:, :, 0].tolist() == [[7, 7, 0], [7, 7, 7]]


def test_keras_loss_is_the_weighted_sum():
    labels, logits, weights = _cells()
    loss = MultiObjectiveLoss((1.0, 0.0, 3.0))
    answers = _loop(labels, logits, weights)
    assert float(loss(labels, logits, weights)) == pytest.approx(
        answers[0] + 3 * answers[2], rel=1e-5
    )
    everywhere = _loop(labels, logits, np.ones_like(weights))
    assert float(MultiObjectiveLoss()(labels, logits)) == pytest.approx(
        sum(everywhere), rel=1e-5
    )


def test_keras_loss_survives_its_config():
    loss = MultiObjectiveLoss((1.0, 2.0), name="ours")
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert again.get_config() == loss.get_config()


def test_fit_data_keeps_labels_from_the_model():
    batch = {
        "item_id": tf.ones((1, 2), tf.int64),
        "num_candidates": tf.constant([1]),
        "labels": tf.ones((1, 2, 1)),
        "label_weights": tf.ones((1, 2, 1)),
    }
    inputs, labels, weights = fit_data(batch)
    assert set(inputs) == {"item_id", "num_candidates"}
    assert set(labels) == set(weights) == {"logits"}
    assert weights["logits"].numpy().ravel().tolist() == [1, 0]
