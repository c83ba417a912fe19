"""Keras' metrics of amounts against those of `jd_tf.metrics`."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from jd_tf.losses import (
    GAUC,
    AmountMetric,
    Concordance,
    MultiObjectiveLoss,
)
from jd_tf.metrics import (
    amount_ratio,
    group_concordance,
    mean_absolute_error,
    relative_deviance,
)

ORACLES = {
    "mean_absolute_error": mean_absolute_error,
    "calibration_ratio": amount_ratio,
    "relative_deviance": relative_deviance,
}
SCALE = 12.5


def _requests(seed=0, shape=(30, 6, 2)):
    """Labels, logits and weights; padding holds what it must not."""
    random = np.random.default_rng(seed)
    labels = random.gamma(0.4, 30.0, shape).round(1)
    labels *= random.random(shape) < 0.7
    logits = random.normal(size=shape).round(1)
    real = np.arange(shape[1]) < random.integers(0, 7, shape[0])[:, None]
    labels[~real], logits[~real] = -1, np.inf
    weights = random.choice([0.0, 1.0, 2.5], shape)
    return [x.astype("float32") for x in (labels, logits, weights)]


@pytest.mark.parametrize("kind", ORACLES)
def test_metrics_equal_numpy_in_batches(kind):
    metric = AmountMetric(kind, objective=1, scale=SCALE)
    metric = AmountMetric.from_config(metric.get_config())
    update = tf.function(metric.update_state)
    arrays = _requests()
    assert np.isnan(metric.result())
    for start in range(0, 30, 7):
        update(*(part[start : start + 7] for part in arrays))
    labels, logits, weights = (part[..., 1].astype(float) for part in arrays)
    inside = (labels >= 0) & (weights > 0)
    wanted = ORACLES[kind](
        SCALE * np.exp(logits[inside]), labels[inside], weights[inside]
    )
    assert float(metric.result()) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("objective", [0, 1])
def test_concordance_equals_numpy_in_batches(objective):
    metric = Concordance(objective)
    metric = Concordance.from_config(metric.get_config())
    arrays = _requests(1)
    for start in range(0, 30, 7):
        metric.update_state(*(part[start : start + 7] for part in arrays))
    labels, scores, weights = arrays
    lists = np.arange(30)[:, None, None] * 2 + np.arange(2)
    lists = np.broadcast_to(lists, labels.shape)
    inside = (labels >= 0) & (weights > 0)
    inside[..., 1 - objective] = False
    found = group_concordance(
        *(part[inside] for part in (scores, labels, lists)), 60, weights[inside]
    )
    assert float(metric.result()) == pytest.approx(found.mean(), rel=1e-5)


def test_concordance_of_outcomes_is_gauc():
    labels, scores, weights = _requests(2)
    labels = np.sign(labels)
    found = []
    for metric in (GAUC(1), Concordance(1)):
        metric.update_state(labels, scores, weights)
        found.append(float(metric.result()))
    assert found[0] == pytest.approx(found[1], rel=1e-6)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"`kind` must be one of .* 'mse'"):
        AmountMetric("mse", 0, 1.0)
    with pytest.raises(ValueError, match=r"`scale` must be above 0\. Got: 0"):
        AmountMetric("calibration_ratio", 0, 0.0)
    with pytest.raises(TypeError, match="groups"):
        Concordance(0).update_state([[1.0]], [[1.0]], groups=[0])


def test_they_work_in_fit():
    model = keras.Sequential([keras.Input((6, 2)), keras.layers.Dense(2)])
    metrics = [Concordance(1), AmountMetric("relative_deviance", 1, SCALE)]
    model.compile("adam", MultiObjectiveLoss(), weighted_metrics=metrics)
    labels, logits, weights = _requests()
    inputs, labels = np.where(labels < 0, 0, logits), np.minimum(labels, 1)
    row = model.fit(inputs, labels, 10, 1, 0, sample_weight=weights).history
    assert np.isfinite([row["concordance"], row["relative_deviance"]]).all()
