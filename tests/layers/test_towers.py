"""StackedMLP, TaskTower and BiasTower against loops."""

import numpy as np
import pytest

from jd_tf.layers import BiasTower, StackedMLP, TaskTower
from tests import references
from tests.cases import CANDIDATES, REQUESTS, case_named
from tests.layers import harness


def _network(weights, prefix, slice_, depth):
    return [
        (
            weights[f"{prefix}kernel_{i}"][slice_],
            weights[f"{prefix}bias_{i}"][slice_, 0],
        )
        for i in range(depth)
    ]


@pytest.mark.parametrize(
    ("name", "prefix", "activation"),
    [
        ("stacked_mlp", "", references.gelu),
        ("task_tower", "towers/", references.relu),
    ],
)
def test_stacks_equal_one_network_a_slice(name, prefix, activation):
    case = case_named(name)
    layer = harness.make(case)
    values = harness.arguments(case)
    weights = harness.weights_of(layer)
    (actual,) = harness.outputs(layer, values)
    for row, candidate, slice_ in np.ndindex(REQUESTS, CANDIDATES, 2):
        expected = references.mlp(
            values["inputs"][row, candidate, slice_],
            _network(weights, prefix, slice_, 2),
            activation,
        )
        found = np.atleast_1d(actual[row, candidate, slice_])
        harness.assert_same([found], [expected])


def test_stacked_kernels_start_as_those_of_single_layers():
    layer = StackedMLP((100,))
    layer.build((None, 8, 300))
    # Glorot: variance 2 / (fan in + fan out).
    expected = np.sqrt(2 / 400)
    assert np.std(layer.kernels[0]) == pytest.approx(expected, rel=0.02)


def test_tower_without_hidden_layers_is_linear():
    tower = TaskTower(2)
    inputs = np.random.default_rng(0).normal(size=(3, 4, 2, 5))
    one, double = tower(inputs), tower(2 * inputs)
    np.testing.assert_allclose(double, 2 * one.numpy(), rtol=1e-5)
    assert one.shape == (3, 4, 2)


def test_bias_tower_equals_a_loop():
    case = case_named("bias_tower")
    layer = harness.make(case)
    values = harness.arguments(case)
    weights = harness.weights_of(layer)
    (actual,) = harness.outputs(layer, values)
    for row, candidate in np.ndindex(REQUESTS, CANDIDATES):
        hidden = weights["first_bias"].astype(np.float64)
        for column, size in (("position", 7), ("page", 3)):
            value = values["inputs"][column][row, candidate]
            value = min(max(value, 0), size - 1)
            hidden = hidden + weights[f"{column}_table"][value]
        hidden = references.relu(hidden)
        hidden = references.relu(references.dense(hidden, weights, "hidden_1"))
        expected = references.dense(hidden, weights, "output_layer")
        harness.assert_same([actual[row, candidate]], [expected])


def test_bias_tower_starts_at_zero_and_has_no_overall_rate():
    layer = BiasTower({"position": 5}, (4,), 3)
    places = {"position": np.arange(5)[None]}
    assert not np.any(layer(places))
    assert layer.output_layer.bias is None
    assert layer(places).shape == (1, 5, 3)


def test_bias_tower_ignores_other_columns():
    layer = BiasTower({"position": 5}, (4,), 1)
    places = {"position": np.arange(5)[None], "page": np.ones((1, 5), int)}
    assert layer(places).shape == (1, 5, 1)
