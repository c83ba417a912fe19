"""Keras' GAUC and NDCG against those of `jd_tf.metrics`."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from jd_tf.losses import GAUC, NDCG
from jd_tf.metrics import ranking_metrics

METRICS = (GAUC(), GAUC(1), NDCG(3), NDCG(2, objective=0))


def _requests(seed=0, shape=(40, 6, 2), ties=True):
    """Labels, scores and weights; some lists of one class, some empty."""
    random = np.random.default_rng(seed)
    labels = (random.random(shape) < 0.3).astype("float32")
    real = np.arange(shape[1]) < random.integers(0, 7, shape[0])[:, None]
    labels[~real] = -1
    scores = random.normal(size=shape)
    if ties:
        scores = np.round(scores)
    weights = random.choice([0.0, 1.0, 2.5], shape)
    return labels, scores.astype("float32"), weights.astype("float32")


def _flat(labels, scores, weights, groups=None, objective=None):
    """Flat arrays of the cells that count, for the NumPy metrics."""
    objectives = range(labels.shape[2]) if objective is None else [objective]
    inside = (labels >= 0) & (weights > 0)
    row = np.arange(len(labels)) if groups is None else groups
    parts = [
        (
            scores[..., t][inside[..., t]],
            labels[..., t][inside[..., t]],
            weights[..., t][inside[..., t]],
            np.broadcast_to(row[:, None] * 2 + t, inside.shape[:2])[
                inside[..., t]
            ],
        )
        for t in objectives
    ]
    return [np.concatenate(part) for part in zip(*parts, strict=True)]


def _expected(metric, *arrays, groups=None):
    scores, labels, weights, lists = _flat(
        *arrays, groups=groups, objective=metric.objective
    )
    number = 2 * len(arrays[0])
    if isinstance(metric, GAUC):
        return ranking_metrics.group_auc(
            scores, labels, lists, number, weights
        ).mean()
    return ranking_metrics.ndcg(
        scores, labels * weights, lists, number, metric.k
    )


def _value(metric, *arrays, batch=40, **kwargs):
    metric = type(metric).from_config(metric.get_config())
    for start in range(0, len(arrays[0]), batch):
        metric.update_state(*(a[start : start + batch] for a in arrays))
    return float(metric.result())


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: str(m.get_config()))
@pytest.mark.parametrize("ties", [True, False])
def test_equals_the_metric_in_numpy(metric, ties):
    arrays = _requests(ties=ties)
    expected = _expected(metric, *arrays)
    assert 0.1 < expected < 0.99
    assert _value(metric, *arrays) == pytest.approx(expected, rel=1e-6)
    unweighted = arrays[0], arrays[1], np.ones_like(arrays[2])
    assert _value(metric, *arrays[:2]) == pytest.approx(
        _expected(metric, *unweighted), rel=1e-6
    )


@pytest.mark.parametrize("metric", METRICS[:3], ids=["gauc", "one", "ndcg"])
def test_batches_merge_and_order_does_not_matter(metric):
    arrays = _requests()
    expected = _value(metric, *arrays)
    for batch in (1, 7):
        assert _value(metric, *arrays, batch=batch) == pytest.approx(expected)
    random = np.random.default_rng(2)
    rows, places = random.permutation(40), random.permutation(6)
    moved = [array[rows][:, places] for array in arrays]
    assert _value(metric, *moved) == pytest.approx(expected)


@pytest.mark.parametrize("metric", METRICS[:3], ids=["gauc", "one", "ndcg"])
def test_padding_never_counts(metric):
    labels, scores, weights = _requests()
    expected = _value(metric, labels, scores, weights)
    scores = np.where(labels < 0, np.nan, scores)
    wider = ((0, 0), (0, 3), (0, 0))
    padded = (
        np.pad(labels, wider, constant_values=-1),
        np.pad(scores, wider, constant_values=np.inf),
        np.pad(weights, wider, constant_values=5.0),
    )
    assert _value(metric, *padded) == pytest.approx(expected)


@pytest.mark.parametrize("metric", METRICS[:3], ids=["gauc", "one", "ndcg"])
def test_groups_make_one_list_of_their_requests(metric):
    arrays = _requests()
    groups = np.random.default_rng(3).integers(0, 9, 40)
    metric = type(metric).from_config(metric.get_config())
    metric.update_state(*arrays, groups=1000 - groups)
    expected = _expected(metric, *arrays, groups=groups)
    assert float(metric.result()) == pytest.approx(expected, rel=1e-6)
    assert expected != pytest.approx(_expected(metric, *arrays), rel=1e-3)


def test_lists_without_objectives_and_weights_of_requests():
    labels, scores, _ = _requests()
    metric = GAUC()
    metric.update_state(labels[..., 0], scores[..., 0], np.full(40, 2.0))
    assert float(metric.result()) == pytest.approx(
        _value(GAUC(0), labels, scores)
    )


def test_nothing_to_judge_is_nan():
    for metric in (GAUC(), NDCG()):
        metric.update_state(np.zeros((2, 3)), np.ones((2, 3)))
        assert math.isnan(float(metric.result()))
        metric.reset_state()
        metric.update_state(np.array([[1.0, 0.0]]), np.array([[2.0, 1.0]]))
        assert float(metric.result()) == 1.0


def test_a_score_that_is_nan_is_not_hidden():
    metric = GAUC()
    metric.update_state(np.array([[1.0, 0.0]]), np.array([[np.nan, 1.0]]))
    assert math.isnan(float(metric.result()))


def test_long_evaluations_keep_their_digits():
    metric = NDCG()
    metric.total.assign(2.0**25)
    metric.weight.assign(2.0**25)
    metric.update_state(np.array([[1.0, 0.0]]), np.array([[2.0, 1.0]]))
    assert float(metric.weight) == 2.0**25 + 1


def test_half_precision_scores_are_ranked():
    labels, scores, weights = _requests()
    half = tf.cast(scores, tf.float16)
    for metric in METRICS[:3]:
        assert _value(metric, labels, half, weights) == pytest.approx(
            _value(metric, labels, scores, weights)
        )


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"`k` must be .* Got: 0"):
        NDCG(0)
    with pytest.raises(ValueError, match=r"`objective` .* Got: -1"):
        GAUC(-1)
    with pytest.raises(ValueError, match="no objective 2 among 2"):
        GAUC(2).update_state(*_requests())


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: str(m.get_config()))
def test_survives_its_config(metric):
    again = keras.metrics.deserialize(keras.metrics.serialize(metric))
    assert again.get_config() == metric.get_config()
    assert isinstance(again, type(metric))
