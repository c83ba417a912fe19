"""CalibrationCurve against a loop; identity, order and the bound by click."""

import numpy as np
import pytest
import tensorflow as tf

from jd_tf.layers import CalibrationCurve, EntireSpaceLogits
from tests import fusion_references
from tests.case_inputs import CURVES
from tests.cases import case_named
from tests.layers import harness


def _random_curve(rng, count):
    into = np.cumsum(rng.uniform(0.05, 2, count)) - 5
    return into, np.cumsum(rng.uniform(0.05, 2, count)) - 5


def test_equals_a_loop():
    case = case_named("calibration_curve")
    layer = harness.make(case)
    values = harness.arguments(case)
    (actual,) = harness.outputs(layer, values)
    for place in np.ndindex(actual.shape[:-1]):
        expected = fusion_references.calibrated(
            values["inputs"][place], CURVES, layer.given
        )
        harness.assert_same([actual[place]], [expected])


def test_starts_as_the_identity_to_the_last_bit():
    logits = np.random.default_rng(0).normal(scale=9, size=(50, 4, 2))
    logits = logits.astype(np.float32)
    logits[0, 0] = [80.0, -80.0]
    layer = CalibrationCurve((-1, -1))
    np.testing.assert_array_equal(layer(logits), logits)
    layer.assign_curves([([1.0], [3.0])] * 2)
    assert np.all(layer(logits) != logits)
    layer.assign_curves([((), ())] * 2)
    np.testing.assert_array_equal(layer(logits), logits)


def test_entire_space_logits_pass_an_untouched_layer_unchanged():
    logits = np.random.default_rng(0).normal(scale=5, size=(200, 3))
    joint = EntireSpaceLogits((-1, 0, 1))(logits.astype(np.float32))
    np.testing.assert_array_equal(CalibrationCurve((-1, 0, 1))(joint), joint)


@pytest.mark.parametrize("seed", range(5))
def test_an_order_is_never_likelier_than_its_click(seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=4, size=(300, 3)).astype(np.float32)
    joint = EntireSpaceLogits((-1, 0, 0))(logits)
    bound = CalibrationCurve((-1, 0, 0), num_knots=8)
    free = CalibrationCurve((-1, -1, -1), num_knots=8)
    curves = [_random_curve(rng, 8) for _ in range(3)]
    for layer in (bound, free):
        layer.build(joint.shape)
        layer.assign_curves(curves)
    for out in (bound(joint), bound.bound(tf.sigmoid(bound(joint)))):
        assert np.all(out[:, 1:] <= out[:, :1])
    # Of bounded logits only the last bit of a probability is left to bound.
    chances = tf.sigmoid(bound(joint)).numpy()
    np.testing.assert_allclose(out, chances, rtol=1e-6)
    # And the bound is what keeps it so, where curves alone would not.
    loose = free(joint).numpy()
    held = np.minimum(loose[:, 1:], loose[:, :1])
    np.testing.assert_array_equal(bound(joint)[:, 1:], held)
    assert seed or np.any(loose[:, 1:] > loose[:, :1])


def test_keeps_the_order_of_candidates():
    rng = np.random.default_rng(2)
    layer = CalibrationCurve((-1,), num_knots=12)
    layer.build((None, 1))
    layer.assign_curves([_random_curve(rng, 12)])
    logits = np.linspace(-30, 30, 20_001, dtype=np.float32)[:, None]
    assert np.all(np.diff(layer(logits).numpy()[:, 0]) > 0)


def test_is_not_trained_and_lets_gradients_through():
    layer = CalibrationCurve((-1,), num_knots=3)
    layer.build((None, 1))
    layer.assign_curves([([-1.0, 0.0, 1.0], [-2.0, 0.0, 0.5])])
    assert not layer.trainable_weights
    logits = tf.constant([[-3.0], [-0.5], [0.5], [2.0]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        out = tf.reduce_sum(layer(logits))
    slopes = tape.gradient(out, logits).numpy()[:, 0]
    np.testing.assert_allclose(slopes, [1, 2, 0.5, 1], rtol=1e-6)


@pytest.mark.parametrize(
    ("curve", "message"),
    [
        (([0.0, 1.0], [0.0]), r"knots of shapes \(2,\) and \(1,\)"),
        ((range(4), range(4)), "has 4 knots, more than `num_knots`"),
        (([0.0, 1.0], [0.0, np.nan]), "not finite"),
        (([0.0, 0.0], [0.0, 1.0]), "does not rise"),
        (([0.0, 1.0], [1.0, 1.0]), "does not rise"),
        (([0.0, 1.0], [2.0, 1.0]), "does not rise"),
        (([7.0, 7.0 + 1e-9], [0.0, 1.0]), "does not rise"),
    ],
)
def test_wrong_curves_are_named_and_change_nothing(curve, message):
    layer = CalibrationCurve((-1, -1), num_knots=3)
    layer.build((None, 2))
    with pytest.raises(ValueError, match=f"curve 1 .*{message}"):
        layer.assign_curves([([0.0], [1.0]), curve])
    assert not np.any(layer.shifts)
    with pytest.raises(ValueError, match=r"takes 2 curves\. Got: 1"):
        layer.assign_curves([([], [])])
