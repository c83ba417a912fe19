"""ListwiseSoftmaxLoss against a loop over lists."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from jd_tf.losses import ListwiseSoftmaxLoss


def _lists(seed=0, shape=(6, 5)):
    random = np.random.default_rng(seed)
    gains = random.choice([-1.0, 0.0, 1.0, 4.0], shape).astype("float32")
    scores = random.normal(size=shape, scale=3).astype("float32")
    return gains, scores


def _loop(gains, scores, weights=None):
    weights = np.ones_like(gains) if weights is None else weights
    losses = []
    for row in range(len(gains)):
        listed = [i for i, gain in enumerate(gains[row]) if gain >= 0]
        total = sum(gains[row, i] for i in listed)
        if total > 0:
            partition = sum(math.exp(scores[row, i]) for i in listed)
            losses.append(
                -sum(
                    weights[row, i]
                    * (gains[row, i] / total)
                    * math.log(math.exp(scores[row, i]) / partition)
                    for i in listed
                )
            )
    return np.mean(losses) if losses else 0.0


def test_equals_a_loop():
    gains, scores = _lists()
    gains[1] = 0
    gains[2] = -1
    loss = ListwiseSoftmaxLoss()
    assert float(loss(gains, scores)) == pytest.approx(
        _loop(gains, scores), rel=1e-5
    )
    weights = np.random.default_rng(1).random(gains.shape).astype("float32")
    assert float(loss(gains, scores, weights)) == pytest.approx(
        _loop(gains, scores, weights), rel=1e-5
    )


def test_every_objective_has_lists_of_its_own():
    gains, scores = _lists(shape=(6, 5, 2))
    rows = [np.swapaxes(part, 1, 2).reshape(12, 5) for part in (gains, scores)]
    assert float(ListwiseSoftmaxLoss()(gains, scores)) == pytest.approx(
        _loop(*rows), rel=1e-5
    )


@pytest.mark.parametrize("extra", [0, 4])
def test_padding_never_counts(extra):
    gains, scores = _lists()
    expected = ListwiseSoftmaxLoss()(gains, scores)
    padding = ((0, 0), (0, extra))
    gains = np.pad(gains, padding, constant_values=-1)
    scores = np.pad(scores, padding)
    scores = tf.Variable(np.where(gains < 0, np.inf, scores))
    with tf.GradientTape() as tape:
        loss = ListwiseSoftmaxLoss()(gains, scores)
    assert float(loss) == pytest.approx(float(expected), rel=1e-6)
    gradient = tape.gradient(loss, scores).numpy()
    assert np.isfinite(gradient).all()
    assert not gradient[gains < 0].any()


def test_nothing_to_order_costs_nothing():
    gains, scores = np.zeros((2, 3), "f"), np.ones((2, 3), "f")
    assert float(ListwiseSoftmaxLoss()(gains, scores)) == 0.0


def test_is_least_where_the_softmax_is_the_shares():
    gains = np.array([[1.0, 3.0, 4.0]], "float32")
    scores = tf.Variable(np.log(gains) + 7.0)
    with tf.GradientTape() as tape:
        loss = ListwiseSoftmaxLoss()(gains, scores)
    np.testing.assert_allclose(tape.gradient(loss, scores), 0.0, atol=1e-6)


def test_half_precision_scores_stay_finite():
    gains, scores = _lists()
    half = tf.cast(scores, tf.float16)
    exact = ListwiseSoftmaxLoss()(gains, tf.cast(half, tf.float32))
    for dtype in (None, "float16"):
        loss = ListwiseSoftmaxLoss(dtype=dtype)(gains, half)
        assert float(loss) == pytest.approx(float(exact), rel=1e-2)


def test_survives_its_config():
    loss = ListwiseSoftmaxLoss(name="ours")
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert again.get_config() == loss.get_config()
