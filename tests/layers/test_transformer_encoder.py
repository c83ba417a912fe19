"""TransformerBlock and TransformerEncoder against a loop, and invariants."""

import numpy as np
import pytest

from jd_tf.layers import TransformerEncoder
from tests import attention_references, references
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
        expected = attention_references.transformer_block(events, weights, 2)
        for event, vector in enumerate(expected):
            np.testing.assert_allclose(
                actual[row, event], vector, rtol=1e-4, atol=1e-5
            )


@pytest.mark.parametrize(
    ("name", "activation"),
    [
        ("transformer_encoder", references.relu),
        ("causal_transformer_encoder", references.gelu),
    ],
)
def test_encoder_equals_a_loop_and_is_zero_in_padding(name, activation):
    case = case_named(name)
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
            events = attention_references.transformer_block(
                events, inside, 2, activation, causal="causal" in name
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


def test_histories_of_one_event_warn_of_nothing(recwarn):
    layer = TransformerEncoder(1, 2, 8)
    layer(np.ones((2, 1, 4), np.float32), np.array([1, 0]))
    assert not recwarn.list


def test_a_causal_memory_is_that_of_a_history_that_begins_there():
    case = case_named("causal_transformer_encoder")
    layer = harness.make(case)
    events = harness.arguments(case)["inputs"][:1]
    (whole,) = harness.outputs(
        layer, {"inputs": events, "length": np.array([6])}
    )
    for place in range(6):
        later = {"inputs": events[:, place:], "length": np.array([6 - place])}
        (rest,) = harness.outputs(layer, later)
        np.testing.assert_allclose(
            whole[0, place:6], rest[0, : 6 - place], rtol=1e-4, atol=1e-5
        )
