"""Calibration metrics against loops, scikit-learn and invariants."""

import numpy as np
import pytest
import sklearn.metrics

from jd_tf.metrics import calibration_metrics as calibration
from tests.metrics import references


@pytest.fixture
def data():
    rng = np.random.default_rng(6)
    probabilities = rng.beta(1, 8, 5000).astype(np.float32)
    labels = (rng.random(5000) < probabilities).astype(np.float32)
    return probabilities, labels, rng.random(5000)


def test_log_loss_equals_scikit_learn_and_the_loop(data):
    probabilities, labels, _ = data
    assert calibration.log_loss(*data) == pytest.approx(
        references.log_loss(*data)
    )
    assert calibration.log_loss(probabilities, labels) == pytest.approx(
        sklearn.metrics.log_loss(labels, probabilities), rel=1e-6
    )


def test_log_loss_of_certain_mistakes_is_finite():
    assert 10 < calibration.log_loss(np.array([0.0, 1.0]), [1, 0]) < 17


def test_normalized_entropy_of_the_mean_is_one(data):
    _, labels, weights = data
    rate = np.average(labels, weights=weights)
    constant = np.full(5000, rate)
    found = calibration.normalized_entropy(constant, labels, weights)
    assert found == pytest.approx(1.0)
    assert calibration.normalized_entropy(*data) < 0.95


def test_calibration_ratio_is_predicted_over_observed(data):
    probabilities, labels, weights = data
    found = calibration.calibration_ratio(probabilities * 0.5, labels, weights)
    expected = 0.5 * (probabilities * weights).sum() / (labels * weights).sum()
    assert found == pytest.approx(expected)


def test_reliability_bins_hold_equal_weight(data):
    probabilities, labels, weights = data
    for given in (None, weights):
        bins = calibration.reliability(probabilities, labels, given, 10)
        assert len(bins.weight) == 10
        np.testing.assert_allclose(bins.weight, 0.1, atol=0.002)
        assert (np.diff(bins.predicted) > 0).all()
        np.testing.assert_allclose(bins.predicted, bins.observed, atol=0.05)
        mean = np.average(labels, weights=given)
        assert bins.weight @ bins.observed == pytest.approx(mean)


def test_equal_predictions_share_a_bin(data):
    _, labels, _ = data
    steps = np.repeat([0.1, 0.2], [4900, 100]).astype(np.float32)
    bins = calibration.reliability(steps, labels)
    np.testing.assert_allclose(bins.predicted, [0.1, 0.2], rtol=1e-6)
    np.testing.assert_allclose(bins.weight, [0.98, 0.02])
    expected = [labels[:4900].mean(), labels[4900:].mean()]
    np.testing.assert_allclose(bins.observed, expected, rtol=1e-6)


def test_calibration_error_by_hand():
    probabilities = np.repeat([0.2, 0.7], 10)
    labels = np.r_[np.ones(5), np.zeros(5), np.ones(7), np.zeros(3)]
    found = calibration.calibration_error(probabilities, labels)
    assert found == pytest.approx(0.5 * 0.3 + 0.5 * 0.0)


def test_order_does_not_matter(data):
    shuffle = np.random.default_rng(1).permutation(5000)
    shuffled = [column[shuffle] for column in data]
    for judge in (
        calibration.log_loss,
        calibration.normalized_entropy,
        calibration.calibration_ratio,
        calibration.calibration_error,
    ):
        assert judge(*data) == pytest.approx(judge(*shuffled))


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_is_undefined(label):
    probabilities, labels = np.array([0.2, 0.4]), np.full(2, label)
    assert np.isnan(calibration.normalized_entropy(probabilities, labels))
    ratio = calibration.calibration_ratio(probabilities, labels)
    assert np.isnan(ratio) == (label == 0)


def test_nothing_is_undefined_and_nonsense_refused():
    none = np.zeros(0)
    for judge in (
        calibration.log_loss,
        calibration.normalized_entropy,
        calibration.calibration_ratio,
        calibration.calibration_error,
    ):
        assert np.isnan(judge(none, none))
    with pytest.raises(ValueError, match=r"\[0, 1\]. Got: 0.5..1.5"):
        calibration.calibration_error(np.array([0.5, 1.5]), [0, 1])
    with pytest.raises(ValueError, match="nan"):
        calibration.log_loss(np.array([0.5, np.nan]), [0, 1])
