"""EntireSpaceLogits against products of probabilities, and its extremes."""

import numpy as np
import pytest
import tensorflow as tf

from jd_tf.layers import EntireSpaceLogits
from tests import references
from tests.cases import case_named
from tests.layers import harness


def test_equals_products_of_probabilities():
    case = case_named("entire_space_logits")
    layer = harness.make(case)
    values = harness.arguments(case)
    (actual,) = harness.outputs(layer, values)
    for row, candidate in np.ndindex(actual.shape[:2]):
        expected = references.entire_space_probabilities(
            values["inputs"][row, candidate].astype(np.float64), layer.given
        )
        logits = np.log(expected / (1 - expected))
        harness.assert_same([actual[row, candidate]], [logits], 1e-4)


def test_nothing_given_changes_nothing():
    logits = np.array([[3.0, -2.0]], np.float32)
    np.testing.assert_array_equal(EntireSpaceLogits((-1, -1))(logits), logits)


def test_a_product_is_never_likelier_than_a_factor():
    logits = np.random.default_rng(0).normal(scale=30, size=(500, 2))
    joint = EntireSpaceLogits((-1, 0))(logits.astype(np.float32))[:, 1]
    assert np.all(joint <= np.min(logits, axis=1) + 1e-4)


@pytest.mark.parametrize("a", [-80.0, 0.0, 80.0])
@pytest.mark.parametrize("b", [-80.0, 0.0, 80.0])
def test_extremes_are_finite_with_finite_gradients(a, b):
    logits = tf.constant([[a, b, 80.0, -80.0]])
    layer = EntireSpaceLogits((-1, 0, 1, 2))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        out = layer(logits)
    jacobian = tape.jacobian(out, logits, experimental_use_pfor=False).numpy()
    assert np.all(np.isfinite(out))
    assert np.all(np.isfinite(jacobian))
    expected = -np.logaddexp(np.logaddexp(-a, -b), -a - b)
    np.testing.assert_allclose(out[0, 1], expected, rtol=1e-6, atol=1e-30)
    sums = jacobian[0, 1, 0].sum()
    assert 1 - 1e-5 <= sums <= 2 + 1e-5
