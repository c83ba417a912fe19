"""InterestCrossing against a loop over pairs, and its borders."""

import numpy as np

from jd_tf.layers import InterestCrossing
from tests import references
from tests.cases import LENGTHS, case_named
from tests.layers import harness


def test_equals_a_loop_over_pairs():
    case = case_named("interest_crossing")
    layer = harness.make(case)
    values = harness.arguments(case)
    weights = harness.weights_of(layer)
    first, second = harness.outputs(layer, values)
    for row, length in enumerate(LENGTHS):
        expected = references.interest_crossing(
            values["memory"][row, :length], weights
        )
        harness.assert_same([first[row], second[row]], list(expected))


def test_borders():
    layer = InterestCrossing()
    memory = np.random.default_rng(0).normal(size=(3, 4, 5))
    called = layer(memory.astype(np.float32), np.array([0, 1, 2]))
    first, second = called["first_order"], called["second_order"]
    np.testing.assert_array_equal(first[0], layer.no_history)
    np.testing.assert_allclose(first[1], memory[1, 0], rtol=1e-6)
    assert not np.any(second[:2])
    np.testing.assert_allclose(
        second[2], memory[2, 0] * memory[2, 1], rtol=1e-5, atol=1e-6
    )


def test_nothing_is_lost_where_squares_cancel():
    # Signs that alternate: the sum is near zero, the squares are not.
    length = 200
    signs = np.where(np.arange(length) % 2, 1.0, -1.0)
    rng = np.random.default_rng(0)
    memory = (signs * (3.0 + 0.01 * rng.normal(size=length)))[None, :, None]
    memory = memory.astype(np.float32)
    layer = InterestCrossing()
    second = layer(memory, np.array([length]))["second_order"]
    exact = memory[0, :, 0].astype(np.float64)
    expected = (exact.sum() ** 2 - (exact**2).sum()) / length / (length - 1)
    # A few times 1e-7 of the largest square, as the layer promises.
    assert abs(float(second[0, 0]) - expected) < 5e-7 * 9
    large = InterestCrossing()(
        np.full((1, 500, 2), 30.0, np.float32), np.array([500])
    )
    np.testing.assert_allclose(large["second_order"], 900.0, rtol=1e-6)


def test_half_precision_does_not_overflow_on_long_histories():
    layer = InterestCrossing(dtype="mixed_float16")
    called = layer(np.full((1, 500, 2), 10.0, np.float32), np.array([500]))
    np.testing.assert_allclose(called["second_order"], 100.0, rtol=1e-2)
