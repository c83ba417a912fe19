"""Losses against a loop over cells."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import mean_poisson_deviance

from jd_tf.losses.multi_objective import (
    MultiObjectiveLoss,
    cell_weights,
    labels_and_weights,
    objective_losses,
)
from tests.losses.random_cells import random_cells


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
    labels, logits, weights = random_cells()
    weights[..., 1] = 0
    losses, sums = objective_losses(labels, logits, weights)
    np.testing.assert_allclose(losses, _loop(labels, logits, weights), 1e-5)
    np.testing.assert_allclose(sums, weights.sum(axis=(0, 1)))
    assert losses[1] == 0


def test_cells_without_weight_may_hold_anything():
    labels, logits, weights = random_cells()
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


def _counted(labels, weights):
    """Labels and sample weights as `labels_and_weights` makes them."""
    inside = weights > 0
    mean = weights.sum(axis=(0, 1)) / inside.sum(axis=(0, 1))
    return np.where(inside, labels, -1), weights / mean


def test_keras_loss_is_the_weighted_sum():
    labels, logits, weights = random_cells()
    loss = MultiObjectiveLoss((1.0, 0.0, 3.0))
    answers = _loop(labels, logits, weights)
    counted, scaled = _counted(labels, weights)
    assert float(loss(counted, logits, scaled)) == pytest.approx(
        answers[0] + 3 * answers[2], rel=1e-5
    )
    everywhere = _loop(labels, logits, np.ones_like(weights))
    assert float(MultiObjectiveLoss()(labels, logits)) == pytest.approx(
        sum(everywhere), rel=1e-5
    )


@pytest.mark.parametrize("extra", [0, 3])
def test_padding_never_counts(extra):
    labels, logits, _ = random_cells()
    wider = ((0, 0), (0, extra), (0, 0))
    inside = np.pad(np.arange(5) < 3, (0, extra))[None, :, None]
    expected = MultiObjectiveLoss()(labels[:, :3], logits[:, :3])
    labels = np.where(inside, np.pad(labels, wider), -1)
    padded = tf.Variable(np.where(inside, np.pad(logits, wider), np.inf))
    with tf.GradientTape() as tape:
        loss = MultiObjectiveLoss()(labels, padded)
    assert float(loss) == pytest.approx(float(expected), rel=1e-6)
    gradient = tape.gradient(loss, padded).numpy()
    assert np.isfinite(gradient).all()
    assert not gradient[:, 3:].any()


def test_objective_without_samples_costs_nothing():
    labels, logits, _ = random_cells()
    labels[..., 1] = -1
    loss = MultiObjectiveLoss((0.0, 1.0, 0.0))
    assert float(loss(labels, logits)) == 0.0


@pytest.mark.parametrize("dtype", [None, "float16"])
def test_half_precision_logits_lose_their_own_rounding_only(dtype):
    labels, logits, _ = random_cells(shape=(60, 50, 2))
    half = tf.cast(logits, tf.float16)
    exact = MultiObjectiveLoss()(labels, tf.cast(half, tf.float32))
    loss = MultiObjectiveLoss(dtype=dtype)(labels, half)
    assert loss.dtype == (dtype or "float32")
    assert float(loss) == pytest.approx(float(exact), rel=1e-2)


def test_wrong_number_of_weights_is_refused():
    labels, logits, _ = random_cells()
    with pytest.raises(ValueError, match=r"must be 3 numbers.*\(1.0, 2.0\)"):
        MultiObjectiveLoss((1, 2))(labels, logits)


def test_keras_loss_survives_its_config():
    loss = MultiObjectiveLoss((1.0, 2.0), name="ours")
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert again.get_config() == loss.get_config()
    assert again.objective_weights == (1.0, 2.0)


def _batch():
    return {
        "item_id": tf.ones((2, 3), tf.int64),
        "num_candidates": tf.constant([2, 3]),
        "labels": tf.constant(
            [[[1, 9], [1, 1], [9, 9]], [[1, 1], [0, 0], [0, 1]]], tf.float32
        ),
        "label_weights": tf.constant(
            [[[1, 0], [3, 1], [7, 7]], [[1, 1], [2, 1], [1, 1]]], tf.float32
        ),
    }


def test_labels_and_weights_keeps_labels_from_the_model():
    inputs, labels, weights = labels_and_weights(_batch())
    assert set(inputs) == {"item_id", "num_candidates"}
    assert set(labels) == set(weights) == {"logits"}
    np.testing.assert_array_equal(
        labels["logits"],
        [[[1, -1], [1, 1], [-1, -1]], [[1, 1], [0, 0], [0, 1]]],
    )
    # Scaled to a mean of one over the five and the four cells that count.
    np.testing.assert_allclose(
        weights["logits"][..., 0], np.array([[1, 3, 0], [1, 2, 1]]) * 5 / 8
    )
    np.testing.assert_allclose(
        weights["logits"][..., 1], [[0, 1, 0], [1, 1, 1]]
    )


def test_labels_and_weights_are_those_training_uses():
    batch = _batch()
    logits = np.random.default_rng(0).normal(size=(2, 3, 2)).astype("f")
    _, labels, weights = labels_and_weights(batch)
    ours = MultiObjectiveLoss()(labels["logits"], logits, weights["logits"])
    losses, _ = objective_losses(batch["labels"], logits, cell_weights(batch))
    assert float(ours) == pytest.approx(float(sum(losses)), rel=1e-6)


def test_business_values_give_gains_to_judge_the_score_by():
    _, labels, weights = labels_and_weights(_batch(), (1.0, 10.0))
    np.testing.assert_allclose(labels["score"], [[1, 13, -1], [11, 0, 10]])
    np.testing.assert_allclose(weights["score"], [[1, 1, 0], [1, 1, 1]])


def _with_amounts(seed=4):
    """Cells whose last two objectives are amounts, and their units."""
    labels, logits, weights = random_cells(seed, (4, 5, 4))
    random = np.random.default_rng(seed)
    labels[..., 2:] *= random.gamma(0.5, 30.0, (4, 5, 2)).round()
    return labels, logits, weights, (20.0, 0.5)


def test_losses_of_amounts_are_half_the_deviance_in_their_unit():
    labels, logits, weights, scales = _with_amounts()
    losses, sums = objective_losses(labels, logits, weights, scales)
    alone, _ = objective_losses(
        *(x[..., :2] for x in (labels, logits, weights))
    )
    np.testing.assert_array_equal(losses[:2], alone)
    for index, scale in enumerate(scales, 2):
        deviance = mean_poisson_deviance(
            labels[..., index].ravel() / scale,
            np.exp(logits[..., index].ravel().astype(float)),
            sample_weight=weights[..., index].ravel(),
        )
        assert float(losses[index]) == pytest.approx(deviance / 2, rel=1e-4)
    assert (losses >= 0).numpy().all()
    np.testing.assert_allclose(sums, weights.sum(axis=(0, 1)))


def test_the_least_loss_of_an_amount_is_at_its_mean():
    """Of a law that is not Poisson's: that is what it is chosen for."""
    amounts = np.random.default_rng(5).lognormal(2.0, 1.5, 500)
    labels = amounts[:, None, None].astype("float32")
    logit = tf.Variable(0.0)
    for _ in range(200):
        with tf.GradientTape() as tape:
            logits = tf.fill((500, 1, 1), logit.value())
            losses, _ = objective_losses(
                np.pad(labels, ((0, 0), (0, 0), (1, 0))),
                tf.pad(logits, ((0, 0), (0, 0), (1, 0))),
                np.ones((500, 1, 2), "float32"),
                (3.0,),
            )
            loss = losses[1]
        logit.assign_sub(0.2 * tape.gradient(loss, logit))
    found = 3.0 * np.exp(logit.numpy())
    assert found == pytest.approx(amounts.mean(), rel=1e-3)


def test_cells_of_amounts_without_weight_may_hold_anything():
    labels, logits, weights, scales = _with_amounts()
    expected, _ = objective_losses(labels, logits, weights, scales)
    logits = tf.Variable(np.where(weights, logits, np.inf))
    labels = np.where(weights, labels, np.nan)
    with tf.GradientTape() as tape:
        losses, _ = objective_losses(labels, logits, weights, scales)
    np.testing.assert_array_equal(losses, expected)
    assert np.isfinite(tape.gradient(losses, logits)).all()


def test_the_keras_loss_of_amounts_is_that_of_the_trainer():
    labels, logits, weights, scales = _with_amounts()
    batch = {
        "labels": tf.constant(labels),
        "label_weights": tf.constant(weights),
        "num_candidates": tf.fill((4,), 5),
    }
    shares = (1.0, 2.0, 3.0, 4.0)
    _, y, sample = labels_and_weights(batch)
    loss = MultiObjectiveLoss(shares, amount_scales=scales)
    loss = MultiObjectiveLoss.from_config(loss.get_config())
    found = loss(y["logits"], logits, sample["logits"])
    each, _ = objective_losses(labels, logits, weights, scales)
    assert float(found) == pytest.approx(float(np.dot(each, shares)), rel=1e-5)
