"""MultiGateImageTransfer against a loop over experts."""

import numpy as np
import pytest
import tensorflow as tf

from jd_tf.layers import MultiGateImageTransfer
from tests import references
from tests.cases import EVENTS, REQUESTS, case_named
from tests.layers import harness

CASES = [
    ("image_transfer", references.relu, 2),
    ("deep_image_transfer", references.gelu, 1),
]


@pytest.mark.parametrize(("name", "activation", "num_gates"), CASES)
def test_equals_a_loop(name, activation, num_gates):
    case = case_named(name)
    layer = harness.make(case)
    values = harness.arguments(case)
    weights = harness.weights_of(layer)
    for index in range(num_gates):
        actual = layer(**values, gate_index=index).numpy()
        gates = layer.gate_weights(values["gate_inputs"], index).numpy()
        for place in np.ndindex(REQUESTS, EVENTS):
            expected = references.image_transfer(
                [vector[place] for vector in values["vectors"]],
                [present[place] for present in values["present"]],
                values["gate_inputs"][place],
                weights,
                index,
                activation,
            )
            found = [actual[place], gates[place]]
            harness.assert_same(found, list(expected), 1e-4)


def _one_modality(**settings):
    layer = MultiGateImageTransfer(3, 2, hidden_units=(5,), **settings)
    rng = np.random.default_rng(4)
    vectors = tf.constant(rng.normal(size=(2, 3, 4)), tf.float32)
    gate_inputs = tf.constant(rng.normal(size=(2, 3, 6)), tf.float32)
    present = np.array([[1, 1, 0], [1, 0, 1]], bool)
    return layer, [vectors], [present], gate_inputs


def test_an_absent_image_is_the_learned_vector_whatever_stands_there():
    layer, [vectors], present, gate_inputs = _one_modality()
    absent = [np.zeros_like(present[0])]
    nonsense = [tf.fill(vectors.shape, np.nan)]
    outputs = layer(nonsense, absent, gate_inputs)
    np.testing.assert_array_equal(
        outputs, layer([vectors], absent, gate_inputs)
    )
    # The learned vector given as an image is brought to its length first.
    missing = layer.missing[0]
    missing.assign(missing / tf.sqrt(tf.reduce_mean(missing.value**2)))
    there = [np.ones_like(present[0])]
    tiled = [tf.broadcast_to(missing.value, vectors.shape)]
    np.testing.assert_allclose(
        layer(nonsense, absent, gate_inputs),
        layer(tiled, there, gate_inputs),
        rtol=1e-5,
        atol=1e-6,
    )


def test_the_learned_vector_learns_from_absent_images_only():
    layer, vectors, present, gate_inputs = _one_modality()
    layer(vectors, present, gate_inputs)
    for place in np.ndindex(2, 3):
        with tf.GradientTape() as tape:
            outputs = layer(vectors, present, gate_inputs)
            loss = tf.reduce_sum(outputs[place] ** 2)
        gradient = tape.gradient(loss, layer.missing[0].value)
        assert np.any(gradient) == (not present[0][place])


def test_the_length_of_an_image_does_not_count():
    layer, vectors, present, gate_inputs = _one_modality()
    outputs = layer(vectors, present, gate_inputs)
    for factor in (1e-4, 1e4):
        scaled = [factor * vectors[0]]
        np.testing.assert_allclose(
            layer(scaled, present, gate_inputs), outputs, rtol=1e-4, atol=1e-5
        )


def test_learned_vectors_get_a_gradient_where_they_are():
    layer, [vectors], present, gate_inputs = _one_modality()
    with tf.GradientTape() as tape:
        tape.watch(vectors)
        loss = tf.reduce_sum(layer([vectors], present, gate_inputs) ** 2)
    gradient = tape.gradient(loss, vectors).numpy()
    np.testing.assert_array_equal(np.any(gradient, axis=-1), present[0])
    # Since the length does not count, no gradient points along a vector.
    along = np.sum(gradient * vectors, axis=-1)
    np.testing.assert_allclose(along, 0, atol=1e-4)


def test_a_vector_of_zeros_is_finite():
    layer, [vectors], present, gate_inputs = _one_modality()
    zeros = tf.zeros_like(vectors)
    with tf.GradientTape() as tape:
        tape.watch(zeros)
        outputs = layer([zeros], present, gate_inputs)
        loss = tf.reduce_sum(outputs**2)
    assert np.all(np.isfinite(outputs))
    assert np.all(np.isfinite(tape.gradient(loss, zeros)))


def test_gates_share_experts():
    layer, *inputs = _one_modality(num_gates=2)
    one = layer(*inputs)
    assert np.any(one != layer(*inputs, gate_index=1))
    assert np.any(
        layer.gate_weights(inputs[2]) != layer.gate_weights(inputs[2], 1)
    )
    kernel = layer.gate_kernel.numpy()
    layer.gate_kernel.assign(kernel[[1, 0]])
    np.testing.assert_array_equal(one, layer(*inputs, gate_index=1))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(*inputs, gate_index=1) ** 2)
    gradient = tape.gradient(loss, layer.gate_kernel.value).numpy()
    assert not np.any(gradient[0])
    assert np.any(gradient[1])


def test_takes_lists_of_any_leading_axes():
    layer, [vectors], [present], gate_inputs = _one_modality()
    whole = layer([vectors], [present], gate_inputs)
    part = layer([vectors[0]], [present[0]], gate_inputs[0])
    np.testing.assert_allclose(part, whole[0], rtol=1e-5, atol=1e-6)


def test_starts_at_the_scale_of_its_inputs():
    layer = MultiGateImageTransfer(64, 4, 3, (64,))
    layer.build([(None, None, 64)], [(None, None)], (None, None, 32))
    # Glorot, of each expert and each gate alone: 2 / (fan in + fan out).
    for weight, fans in (
        (layer.output_kernels[0], 128),
        (layer.gate_kernel, 32 + 4),
    ):
        assert np.std(weight) == pytest.approx(np.sqrt(2 / fans), rel=0.1)
    rng = np.random.default_rng(0)
    outputs = layer(
        [rng.normal(size=(50, 4, 64)).astype(np.float32)],
        [np.ones((50, 4), bool)],
        rng.normal(size=(50, 4, 32)).astype(np.float32),
    )
    assert 0.1 < np.std(outputs) < 1


def test_wrong_inputs_are_named():
    layer, vectors, present, gate_inputs = _one_modality()
    with pytest.raises(ValueError, match="Got: 2 and 1"):
        layer(vectors * 2, present, gate_inputs)
    layer, vectors, present, gate_inputs = _one_modality()
    layer(vectors, present, gate_inputs)
    for index in (-1, 1):
        with pytest.raises(ValueError, match=f"in .0, 1.. Got: {index}"):
            layer(vectors, present, gate_inputs, gate_index=index)
