"""Curves fitted to what is known to be wrong, and put into the layer."""

import numpy as np
import pytest
import tensorflow as tf

from jd_tf.layers import CalibrationCurve
from jd_tf.metrics.calibration_metrics import calibration_error
from jd_tf.metrics.ranking_metrics import auc
from jd_tf.training.calibration_fit import (
    fit_curve,
    fit_curves,
    held_out_ratios,
    logits_of,
)
from jd_tf.training.config import CALIBRATIONS
from tests.training.apply_curves import apply_curves


def _chance(logits):
    return 1 / (1 + np.exp(-logits))


def _sample(rng, count=100_000, centre=-3.0, bend=None):
    """Logits as a model gives them, and labels of what is true."""
    true = rng.normal(centre, 1.5, count)
    labels = (rng.random(count) < _chance(true)).astype("float32")
    return (true if bend is None else bend(true)), labels, _chance(true)


def _mapped(curve, logits):
    return apply_curves(logits[:, None], [curve], (-1,))[:, 0]


# Logits of models as functions of the true ones.
BENDS = {
    "shifted": lambda true: true + 2,
    "steep": lambda true: 2 * true + 1,
    "flat": lambda true: 0.4 * true - 1,
    "bent": lambda true: true + 1.5 * np.tanh(true + 3),
}


@pytest.mark.parametrize("bend", BENDS)
@pytest.mark.parametrize("method", ["isotonic", "platt"])
def test_mends_what_is_bent(bend, method):
    rng = np.random.default_rng(1)
    logits, labels, _ = _sample(rng, bend=BENDS[bend])
    curve = fit_curve(logits, labels, method=method)
    others, outcomes, true = _sample(rng, bend=BENDS[bend])
    before = calibration_error(_chance(others), outcomes)
    after = calibration_error(_chance(_mapped(curve, others)), outcomes)
    assert after < before / 5
    if bend != "bent" or method == "isotonic":
        # In log-odds, over all but the rarest: within a fifth.
        wrong = np.abs(_mapped(curve, others) - logits_of(true))
        assert np.quantile(wrong, 0.95) < 0.2
    assert auc(_mapped(curve, others), outcomes) == auc(others, outcomes)


@pytest.mark.parametrize("method", CALIBRATIONS)
def test_leaves_what_is_calibrated(method):
    rng = np.random.default_rng(2)
    logits, labels, _ = _sample(rng, 200_000)
    curve = fit_curve(logits, labels, method=method)
    common = np.linspace(-6, 0, 50)
    np.testing.assert_allclose(_mapped(curve, common), common, atol=0.15)


def test_temperature_scales_alone():
    rng = np.random.default_rng(3)
    logits, labels, _ = _sample(rng, bend=lambda true: 2 * true)
    curve = fit_curve(logits, labels, method="temperature")
    np.testing.assert_allclose(_mapped(curve, np.zeros(1)), 0, atol=1e-9)
    np.testing.assert_allclose(_mapped(curve, np.ones(1)), 0.5, atol=0.02)


@pytest.mark.parametrize("method", CALIBRATIONS)
def test_curves_rise_whatever_the_labels(method):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        logits = rng.normal(scale=rng.uniform(0.01, 20), size=300)
        logits[:50] = logits[0]
        labels = (rng.random(300) < rng.uniform(0.01, 0.9)).astype(float)
        labels[:2] = [0, 1]
        curve = fit_curve(logits, labels, method=method, num_knots=8)
        assert len(curve.knots_in) <= 8
        grid = np.linspace(-60, 60, 5001)
        assert np.all(np.diff(_mapped(curve, grid)) > 0)
        # And the layer takes them.
        layer = CalibrationCurve((-1,), num_knots=8)
        layer.build((None, 1))
        layer.assign_curves([curve.knots])


def test_thin_data_gets_few_knots():
    rng = np.random.default_rng(4)
    logits, labels, _ = _sample(rng, 100_000)
    many = fit_curve(logits, labels, num_knots=16)
    assert len(many.knots_in) == 16
    few = fit_curve(logits[:1500], labels[:1500], num_knots=16)
    assert few.num_positives > 100
    assert 3 <= len(few.knots_in) < 14


def test_few_positives_get_a_straight_line():
    rng = np.random.default_rng(5)
    logits, labels, _ = _sample(rng, 600, bend=BENDS["bent"])
    isotonic = fit_curve(logits, labels)
    assert 20 < isotonic.num_positives < 100
    assert "straight line" in isotonic.note
    platt = fit_curve(logits, labels, method="platt")
    np.testing.assert_array_equal(isotonic.knots, platt.knots)


def test_ratios_of_the_half_that_curves_were_not_fitted_on():
    rng = np.random.default_rng(6)
    logits, labels, _ = _sample(rng, 20_000, bend=BENDS["steep"])
    drifted = np.where(np.arange(20_000) < 10_000, logits, logits + 1)
    none = np.where(np.arange(20_000) < 10_000, labels, 0)
    weights = np.ones((20_000, 3))
    weights[::2, 1] = 0
    found = held_out_ratios(
        np.stack([logits, drifted, logits], axis=1),
        np.stack([labels, labels, none], axis=1),
        weights,
    )
    (ratio, positives), (high, half), (undefined, no_positives) = found
    assert 0.9 < ratio < 1.1
    assert positives == labels[10_000:].sum()
    curve = fit_curve(drifted[1:10_000:2], labels[1:10_000:2])
    later = _chance(_mapped(curve, drifted[10_001::2]))
    wanted = later.mean() / labels[10_001::2].mean()
    assert wanted > 1.2
    assert (high, half) == (pytest.approx(wanted), labels[10_001::2].sum())
    assert np.isnan(undefined)
    assert no_positives == 0


@pytest.mark.parametrize("method", ["isotonic", "platt"])
def test_few_outcomes_shift_to_the_mean(method):
    rng = np.random.default_rng(4)
    logits = rng.normal(size=200)
    curve = fit_curve(logits, (np.arange(200) == 7).astype(float), None, method)
    assert "shifted as a whole" in curve.note
    assert curve.num_positives == 1
    mapped = _mapped(curve, logits)
    assert _chance(mapped).mean() == pytest.approx(1 / 200, rel=0.02)
    np.testing.assert_allclose(np.ptp(mapped - logits), 0, atol=1e-6)
    left = fit_curve(
        logits, (np.arange(200) == 7).astype(float), None, "temperature"
    )
    np.testing.assert_allclose(_mapped(left, logits), logits)


def test_classes_that_part_perfectly_give_a_finite_curve():
    logits = np.linspace(-5, 5, 1000)
    for method in CALIBRATIONS:
        curve = fit_curve(logits, (logits > 0).astype(float), method=method)
        mapped = _mapped(curve, logits)
        assert np.all(np.isfinite(mapped))
        assert np.all(np.diff(mapped) > 0)


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_one_class_is_left_as_it_was(label):
    curve = fit_curve(np.arange(5.0), np.full(5, label))
    assert not len(curve.knots_in)
    assert "one class" in curve.note
    grid = np.linspace(-9, 9, 50)
    np.testing.assert_array_equal(_mapped(curve, grid), grid)
    assert "one class" in fit_curve(np.zeros(0), np.zeros(0)).note


def test_without_positives_half_of_one_is_assumed():
    rng = np.random.default_rng(8)
    low, tied = np.linspace(-6, -5, 500), np.zeros(2000)
    labels = np.concatenate([low * 0, rng.random(2000) < 0.3])
    curve = fit_curve(np.concatenate([low, tied]), labels)
    rate = _chance(_mapped(curve, low)).mean()
    assert rate == pytest.approx(0.5 / 501, rel=0.5)


def test_predictions_upside_down_are_noted():
    rng = np.random.default_rng(5)
    logits, labels, _ = _sample(rng, 20_000, bend=lambda true: -true)
    curve = fit_curve(logits, labels, method="platt")
    assert "do not rise" in curve.note
    mean = _chance(_mapped(curve, logits)).mean()
    assert mean == pytest.approx(labels.mean(), rel=0.1)


@pytest.mark.parametrize("method", CALIBRATIONS)
def test_weights_count_as_repetitions(method):
    rng = np.random.default_rng(6)
    logits, labels, _ = _sample(rng, 3000, bend=BENDS["steep"])
    weights = rng.integers(1, 4, 3000)
    one = fit_curve(logits, labels, weights.astype(float), method, 4)
    other = fit_curve(
        np.repeat(logits, weights), np.repeat(labels, weights), None, method, 4
    )
    grid = np.linspace(-8, 4, 50)
    # Bins part between repetitions only by chance.
    np.testing.assert_allclose(
        _mapped(one, grid), _mapped(other, grid), atol=0.02
    )


def test_each_objective_has_its_own_cells_and_the_layer_agrees():
    rng = np.random.default_rng(7)
    shape = (4000, 10)
    click = rng.normal(-1, 1, shape)
    given = rng.normal(-1, 1, shape)
    order = np.log(_chance(click) * _chance(given))
    order -= np.log1p(-np.exp(order))
    clicked = rng.random(shape) < _chance(click)
    ordered = clicked & (rng.random(shape) < _chance(given))
    labels = np.stack([clicked, ordered], -1).astype("float32")
    wrong = np.stack([click + 1, 1.5 * order + 2], -1)
    count = rng.integers(1, 11, 4000)
    weights = np.ones_like(labels)
    weights[..., 1] = rng.choice([0.0, 1.0], shape)
    # What is outside must not be read.
    labels[weights == 0] = 1
    padding = np.arange(10) >= count[:, None]
    wrong[padding] = np.nan
    real = ~padding
    curves = fit_curves(wrong[real], labels[real], weights[real])
    assert curves[0].num_impressions == count.sum()
    assert curves[1].num_impressions == weights[~padding][:, 1].sum()
    true = np.stack([click, order], -1)
    mended = apply_curves(wrong, curves, (-1, 0))
    off = np.abs(_chance(mended) - _chance(true))[~padding]
    assert np.all(off.mean(axis=0) < 0.01)
    layer = CalibrationCurve((-1, 0))
    layer.build((None, None, 2))
    layer.assign_curves([curve.knots for curve in curves])
    real = wrong[~padding].astype("float32")
    np.testing.assert_allclose(
        layer(real), mended[~padding], rtol=1e-4, atol=1e-4
    )
    chances = tf.sigmoid(layer(real))
    assert np.all(layer.bound(chances).numpy()[:, 1] <= chances[:, 0])
    # The bound is not what does the work.
    free = apply_curves(wrong, curves, (-1, -1))[~padding]
    assert np.mean(free[:, 1] > free[:, 0]) < 0.02
