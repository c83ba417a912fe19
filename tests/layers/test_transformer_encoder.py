"""TransformerBlock and TransformerEncoder against a loop, and invariants."""

import numpy as np
import pytest

from jd_tf.layers import TransformerBlock, TransformerEncoder
from tests import references
from tests.cases import LENGTHS, case_named
from tests.layers import harness


def test_block_equals_a_loop():
    case = case_named("transformer_block")
    layer = harness.make(case)
    values = harness.arguments(case)
    weights = harness.weights_of(layer)
    (actual,) = harness.outputs(layer, values)
    for row, length in enumerate(LENGTHS):
        events = list(values["inputs"][row, :length].astype(np.float64))
        expected = references.transformer_block(events, weights, 2)
        for event, vector in enumerate(expected):
            np.testing.assert_allclose(
                actual[row, event], vector, rtol=1e-4, atol=1e-5
            )


def test_encoder_equals_a_loop_and_is_zero_in_padding():
    case = case_named("transformer_encoder")
    layer = harness.make(case)
    values = harness.arguments(case)
    weights = harness.weights_of(layer)
    (actual,) = harness.outputs(layer, values)
    for row, length in enumerate(LENGTHS):
        events = list(values["inputs"][row, :length].astype(np.float64))
        for block in ("block_0/", "block_1/"):
            inside = {
                name.removeprefix(block): value
                for name, value in weights.items()
                if name.startswith(block)
            }
            events = references.transformer_block(
                events, inside, 2, references.relu
            )
        for event, vector in enumerate(events):
            expected = references.layer_norm(vector, weights, "norm")
            np.testing.assert_allclose(
                actual[row, event], expected, rtol=1e-4, atol=1e-5
            )
        assert not np.any(actual[row, length:])


def test_order_of_events_does_not_matter():
    case = case_named("transformer_encoder")
    layer = harness.make(case)
    events = harness.arguments(case)["inputs"][:1]
    length = np.array([6])
    order = [4, 2, 5, 0, 1, 3]
    straight, mixed = (
        harness.outputs(layer, {"inputs": inputs, "length": length})[0]
        for inputs in (events, events[:, order])
    )
    harness.assert_same([mixed], [straight[:, order]])


@pytest.mark.parametrize("size", [1e-6, 1e6])
def test_padding_is_ignored_whatever_the_scores(size):
    case = case_named("transformer_encoder")
    layer = harness.make(case)
    values = harness.arguments(case)
    values["inputs"] = values["inputs"] * np.float32(size)
    (alone,) = harness.outputs(
        layer, {"inputs": values["inputs"][1:2, :4], "length": np.array([4])}
    )
    (padded,) = harness.outputs(layer, values)
    assert np.all(np.isfinite(padded))
    harness.assert_same([padded[1:2, :4]], [alone], 1e-4)


def test_dropout_is_for_training_only():
    layer = TransformerEncoder(1, 2, 8, dropout_rate=0.5)
    inputs = np.ones((2, 3, 4), np.float32) * np.arange(4, dtype=np.float32)
    length = np.array([3, 2])
    still = layer(inputs, length)
    np.testing.assert_array_equal(still, layer(inputs, length, training=False))
    assert np.any(layer(inputs, length, training=True) != still)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_layers": 0}, "`num_layers`.* Got: 0"),
        ({"num_heads": 1.5}, "`num_heads`.* Got: 1.5"),
        ({"feedforward_dim": -1}, "`feedforward_dim`.* Got: -1"),
        ({"dropout_rate": 1.0}, r"`dropout_rate` must be in \[0, 1\). Got: 1"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    good = {"num_layers": 1, "num_heads": 2, "feedforward_dim": 8}
    with pytest.raises(ValueError, match=message):
        TransformerEncoder(**{**good, **arguments})


def test_heads_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="`num_heads`=3"):
        TransformerBlock(3, 8).build((None, None, 8))


def test_histories_of_one_event_warn_of_nothing(recwarn):
    layer = TransformerEncoder(1, 2, 8)
    layer(np.ones((2, 1, 4), np.float32), np.array([1, 0]))
    assert not recwarn.list
