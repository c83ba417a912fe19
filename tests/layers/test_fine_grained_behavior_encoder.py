"""FineGrainedBehaviorEncoder against a loop, and what counts in an event."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from jd_tf.layers import FineGrainedBehaviorEncoder
from tests import references
from tests.cases import EVENTS, REQUESTS, WIDTH, case_named
from tests.layers import harness


@pytest.mark.parametrize("kind", ["behavior", "dwell"])
def test_equals_a_loop(kind):
    case = case_named(f"fine_grained_{kind}")
    layer = harness.make(case)
    values = harness.arguments(case)
    weights = harness.weights_of(layer)
    (actual,) = harness.outputs(layer, values)
    for place in np.ndindex(REQUESTS, EVENTS):
        event = {name: value[place] for name, value in values.items()}
        happened = references.fine_grained(
            event["dwell_seconds"],
            event.get("action_counts", ()),
            event.get("action_ids"),
            weights,
            references.gelu,
        )
        expected = event["inputs"] + happened
        harness.assert_same([actual[place]], [expected], 1e-4)


def _encoded(layer, dwell=1.0, counts=(0.0,), ids=(0, 0)):
    return layer(
        np.zeros((1, 1, 5), np.float32),
        np.array([[dwell]], np.float32),
        np.array([[counts]], np.float32),
        np.array([[ids]]),
    ).numpy()[0, 0]


@pytest.fixture
def layer():
    layer = FineGrainedBehaviorEncoder(4, 6, hidden_units=())
    layer.build((None, None, 5), (None, None), (None, None, 1), (None, None, 2))
    return layer


def test_unknown_is_not_zero(layer):
    for unknown in (-1.0, np.nan):
        assert np.any(_encoded(layer, unknown) != _encoded(layer, 0.0))
        assert np.any(
            _encoded(layer, counts=(unknown,)) != _encoded(layer, counts=(0.0,))
        )
    np.testing.assert_array_equal(_encoded(layer, -1), _encoded(layer, np.nan))


def test_a_repeated_action_counts_twice(layer):
    # The network is linear here, so effects add up.
    nothing = _encoded(layer, ids=(0, 0))
    once = _encoded(layer, ids=(3, 0)) - nothing
    twice = _encoded(layer, ids=(3, 3)) - nothing
    assert np.any(np.abs(once) > 0.01)
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        _encoded(layer, ids=(1, 2)), _encoded(layer, ids=(2, 1)), atol=1e-6
    )


@pytest.mark.parametrize("strange", [-1, 5, 2**32 + 3, -(2**32) + 3, 2**63 - 1])
def test_ids_out_of_range_count_nothing(layer, strange):
    np.testing.assert_array_equal(
        _encoded(layer, ids=(strange, 2)), _encoded(layer, ids=(0, 2))
    )


def test_every_action_dwell_and_count_matters(layer):
    base = _encoded(layer)
    others = [_encoded(layer, ids=(number, 0)) for number in (1, 2, 3, 4)]
    others += [_encoded(layer, dwell) for dwell in (0.0, 5.0, 60.0, 3000.0)]
    others += [_encoded(layer, counts=(count,)) for count in (1.0, 2.0, 50.0)]
    everything = np.stack([base, *others])
    assert len(np.unique(everything, axis=0)) == len(everything)


def test_scales_and_actions_are_learned(layer):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(
            layer(
                np.zeros((1, 1, 5), np.float32),
                np.full((1, 1), 40, np.float32),
                np.full((1, 1, 1), 3, np.float32),
                np.array([[[2, 0]]]),
            )
            ** 2
        )
    dwell, count, actions = tape.gradient(
        loss,
        [
            layer.dwell_embedding.log_scale.value,
            layer.count_embedding.log_scale.value,
            layer.action_table.value,
        ],
    )
    assert np.any(dwell)
    assert np.any(count)
    touched = tf.convert_to_tensor(actions).numpy().any(axis=1)
    assert np.flatnonzero(touched).tolist() == [1]


GIVEN = [
    ("dwell_seconds",),
    ("action_counts",),
    ("action_ids",),
    ("dwell_seconds", "action_ids"),
    ("action_counts", "action_ids"),
]


@pytest.mark.parametrize("given", GIVEN, ids="+".join)
def test_any_part_may_be_left_out(given, tmp_path):
    values = harness.arguments(case_named("fine_grained_behavior"))
    layer = FineGrainedBehaviorEncoder(5 * ("action_ids" in given))
    parts = {name: values[name] for name in ("inputs", *given)}
    expected = layer(**parts)
    assert expected.shape == (REQUESTS, EVENTS, WIDTH)
    # None is the same as not given.
    rest = {name: None for name in values if name not in parts}
    np.testing.assert_array_equal(layer(**parts, **rest), expected)
    inputs = {
        name: keras.Input((None, *part.shape[2:]), dtype=part.dtype, name=name)
        for name, part in parts.items()
    }
    model = keras.Model(inputs, layer(**inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(parts), expected, rtol=1e-6)
    # Weights are those of the parts given.
    assert (layer.action_table is not None) == ("action_ids" in given)
    assert (layer.dwell_embedding is not None) == ("dwell_seconds" in given)


def test_half_precision_keeps_long_stays():
    seconds = np.array([[65_000.0, 70_000.0, 3600.0]], np.float32)
    layer = FineGrainedBehaviorEncoder(dtype="mixed_float16")
    outputs = layer(np.zeros((1, 3, 4), np.float32), seconds).numpy()
    # All of them are an hour or more, the last bucket.
    np.testing.assert_array_equal(outputs[0, 0], outputs[0, 2])
    np.testing.assert_array_equal(outputs[0, 1], outputs[0, 2])
    assert np.all(np.isfinite(outputs))


def test_mask_of_keras_passes_through():
    masked = keras.layers.Masking()(np.array([[[1.0], [0.0]]], np.float32))
    layer = FineGrainedBehaviorEncoder()
    outputs = layer(masked, np.ones((1, 2), np.float32))
    assert outputs._keras_mask.numpy().tolist() == [[True, False]]


def test_wrong_inputs_are_named():
    events, ones = np.ones((2, 3, 4), np.float32), np.ones((2, 3), np.float32)
    layer = FineGrainedBehaviorEncoder(name="how")
    with pytest.raises(ValueError, match="'how' has nothing to encode"):
        layer(events)
    with pytest.raises(ValueError, match="its `num_action_ids` is 0"):
        FineGrainedBehaviorEncoder()(
            events, action_ids=np.ones((2, 3, 1), np.int64)
        )
    layer = FineGrainedBehaviorEncoder()
    layer(events, ones)
    with pytest.raises(ValueError, match="built with `dwell_seconds`"):
        layer(events)
    with pytest.raises(ValueError, match="built without `action_counts`"):
        layer(events, ones, ones[..., None])
