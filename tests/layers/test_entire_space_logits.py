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


def test_amounts_multiply_by_the_probability_of_what_they_need():
    logits = np.random.default_rng(2).normal(0, 2, (40, 4)).astype(np.float32)
    layer = EntireSpaceLogits((-1, 0, -1, 1), num_amounts=2)
    found = layer(logits).numpy().astype(np.float64)
    click, order, free, paid = logits.T.astype(np.float64)
    click, order = 1 / (1 + np.exp(-click)), 1 / (1 + np.exp(-order))
    free, paid = (np.exp(16 * np.tanh(one / 16)) for one in (free, paid))
    wanted = [click, click * order, free, click * order * paid]
    expected = layer.expected(found.astype(np.float32)).numpy()
    np.testing.assert_allclose(expected, np.stack(wanted, -1), rtol=1e-4)
    alike = EntireSpaceLogits((-1, 0))(logits[:, :2])
    np.testing.assert_array_equal(found[:, :2], alike)


@pytest.mark.parametrize("value", [-1e9, -80.0, 80.0, 1e9])
def test_amounts_do_not_overflow(value):
    logits = tf.constant([[-60.0, value]])
    layer = EntireSpaceLogits((-1, 0), num_amounts=1)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        found = layer(logits)
        amount = layer.expected(found)[..., 1]
    assert np.isfinite(found).all()
    assert np.isfinite(amount).all()
    assert np.isfinite(tape.gradient(amount, logits)).all()
    # What stands in padding.
    assert np.isfinite(layer.expected(tf.constant([[0.0, np.inf]]))).all()


@pytest.mark.parametrize(("given", "amounts"), [((-1, 0, 1), 2), ((-1,), 1)])
def test_amounts_are_given_outcomes(given, amounts):
    with pytest.raises(ValueError, match="indices of outcomes"):
        EntireSpaceLogits(given, num_amounts=amounts)
