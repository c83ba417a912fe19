"""EventWeights against single numbers."""

import numpy as np

from jd_tf.layers import EventWeights
from tests import references
from tests.cases import EVENTS, REQUESTS, case_named
from tests.layers import harness


def test_equals_single_numbers():
    case = case_named("event_weights")
    layer = harness.make(case)
    weights = harness.weights_of(layer)
    for seed in range(3):
        values = harness.arguments(case, seed)
        (actual,) = harness.outputs(layer, values)
        for row, event in np.ndindex(REQUESTS, EVENTS):
            expected = references.event_weights(
                values["event_features"][row, event],
                values["age_seconds"][row, event],
                values["numeric_features"][row, event],
                weights,
            )
            harness.assert_same([actual[row, event]], [expected])


def test_time_constants_start_evenly_spaced():
    layer = EventWeights(3, 10.0, 1000.0)
    layer.build((None, None, 4), (None, None))
    np.testing.assert_allclose(
        np.exp(layer.log_time_constant), [10, 100, 1000], rtol=1e-5
    )


def test_no_decay_without_ages():
    layer = EventWeights(2)
    events = np.ones((1, 2, 4), np.float32)
    values = np.asarray(layer(events))
    np.testing.assert_array_equal(values[0, 0], values[0, 1])
    assert [weight.name for weight in layer.weights] == ["kernel", "bias"]


def test_unknown_numbers_count_as_zero():
    layer = EventWeights(2)
    events = np.ones((1, 2, 4), np.float32)
    numbers = np.array([[[-1.0], [0.0]]], np.float32)
    values = np.asarray(layer(events, numeric_features=numbers))
    assert values.shape[-1] == 4
    np.testing.assert_array_equal(values[0, 0], values[0, 1])
    np.testing.assert_array_equal(values[0, :, 2:], 0.0)
