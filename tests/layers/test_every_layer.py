"""Invariants of every layer and block."""

import doctest
import inspect
import re
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import tree

from jd_tf import layers
from jd_tf.models import blocks
from jd_tf.models.blocks.behavior_reader import BehaviorReader
from tests.block_cases import BLOCK_CASES
from tests.cases import CASES, REQUESTS
from tests.layers import harness


def over(cases):
    """Runs a test once a case, under the case's name."""
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


ALL = (*CASES, *BLOCK_CASES)
every_layer = over(ALL)
# Blocks are no layers for users, who get them inside of models.
SLOW_BLOCKS = [
    pytest.param(case, marks=pytest.mark.slow) for case in BLOCK_CASES
]
every_public_layer = over([*CASES, *SLOW_BLOCKS])


def test_every_public_layer_has_a_case():
    covered = {type(case.create()).__name__ for case in CASES}
    assert covered == set(layers.__all__)


def test_every_block_has_a_case():
    folder = Path(blocks.__file__).parent
    defined = {
        name
        for path in folder.glob("*.py")
        for name in re.findall(r"(?m)^class (\w+)\(BaseLayer", path.read_text())
    }
    assert {type(case.create()).__name__ for case in BLOCK_CASES} == defined


@pytest.mark.parametrize("name", layers.__all__)
def test_example_of_the_docstring_runs(name):
    (found,) = doctest.DocTestFinder(recurse=False).find(
        getattr(layers, name), name, globs={**vars(layers), "np": np}
    )
    assert found.examples
    assert doctest.DocTestRunner().run(found).failed == 0


@every_layer
def test_config_survives_json(case):
    layer = case.create(name="some_name")
    copy = harness.config_copy(layer)
    assert copy.get_config() == layer.get_config()
    taken = inspect.signature(type(layer).__init__).parameters
    for name in set(taken) - {"self", "args", "kwargs"}:
        assert name in layer.get_config()
        ours, theirs = getattr(layer, name), getattr(copy, name)
        if not isinstance(ours, keras.Initializer):
            assert ours == theirs


@every_layer
def test_build_makes_every_weight(case):
    layer = harness.make(case)
    names = [weight.path for weight in layer.weights]
    harness.outputs(layer, harness.arguments(case))
    assert [weight.path for weight in layer.weights] == names
    assert len(set(names)) == len(names)
    assert all(part.built for part in layer._flatten_layers())


@every_layer
def test_symbolic_shapes_are_eager_shapes(case):
    layer = harness.make(case)
    values = harness.arguments(case)
    model = harness.functional(case, layer)
    eager = harness.outputs(layer, values)
    for symbolic, output in zip(model.outputs, eager, strict=True):
        assert len(symbolic.shape) == output.ndim
        assert symbolic.dtype in ("float32", "bool")
        for guessed, real in zip(symbolic.shape, output.shape, strict=True):
            assert guessed in (None, real)
    tensors = tree.map_structure(tf.convert_to_tensor, values)
    harness.assert_same(
        [np.asarray(o) for o in tree.flatten(model(tensors))], eager
    )


@every_layer
def test_summary_prints_the_output_shape(case):
    # A short name, which the table does not wrap.
    layer = harness.make(case, name="part")
    shapes = layer.compute_output_shape(**layer._build_shapes_dict)
    shapes = tree.flatten(tree.map_shape_structure(keras.KerasTensor, shapes))
    eager = harness.outputs(layer, harness.arguments(case))
    assert [tuple(s.shape) for s in shapes] == [out.shape for out in eager]
    model = keras.Model()
    model.inner = layer
    lines = []
    model.summary(print_fn=lambda text, **_: lines.append(text))
    (row,) = [line for line in "".join(lines).split("\n") if "part" in line]
    assert "?" not in row
    # A model may build a layer without the shapes of optional arguments.
    built, computed = (
        inspect.signature(method).parameters
        for method in (layer.build, layer.compute_output_shape)
    )
    assert list(built) == list(computed)
    for name in list(built)[1:]:
        assert computed[name].default is built[name].default


@every_public_layer
def test_fits_in_a_users_own_model(case):
    inner = harness.functional(case, harness.make(case))
    parts = [
        keras.ops.mean(part, axis=tuple(range(1, len(part.shape) - 1)))
        for part in inner.outputs
        if part.dtype != "bool"
    ]
    head = keras.layers.Dense(1)(keras.ops.concatenate(parts, axis=-1))
    model = keras.Model(inner.input, head)
    # Graphs of every layer are traced by `export` in test_own_models.py.
    model.compile("adam", "mse", run_eagerly=True)
    target = np.ones((REQUESTS, 1), np.float32)
    batches = tf.data.Dataset.from_tensors((harness.arguments(case), target))
    before = [weight.numpy() for weight in model.trainable_weights]
    history = model.fit(batches, epochs=2, shuffle=False, verbose=0)
    assert np.all(np.isfinite(history.history["loss"]))
    for weight, old in zip(model.trainable_weights, before, strict=True):
        assert np.any(weight.numpy() != old), weight.path


@every_public_layer
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_is_close_and_finite(case, policy):
    values = harness.arguments(case)
    exact = harness.outputs(harness.make(case), values)
    layer = harness.make(case, dtype=policy)
    tensors = tree.map_structure(tf.convert_to_tensor, values)
    with tf.GradientTape() as tape:
        called = tree.flatten(layer(**tensors))
        loss = sum(tf.reduce_sum(tf.cast(out, tf.float32)) for out in called)
    variables = [weight.value for weight in layer.trainable_weights]
    for gradient in tape.gradient(loss, variables):
        assert np.all(np.isfinite(tf.convert_to_tensor(gradient)))
    for output in called:
        if output.dtype == tf.bool:
            continue
        found = keras.backend.standardize_dtype(output.dtype)
        # Some blocks compute in single precision under any policy.
        assert found == layer.compute_dtype
        assert found == policy[6:] or case in BLOCK_CASES
    assert all(weight.dtype in ("float32", "int64") for weight in layer.weights)
    for output, expected in zip(
        harness.outputs(layer, values), exact, strict=True
    ):
        # Eight bits of mantissa, a dozen operations deep.
        error = np.sqrt(np.mean(np.square(output - expected)))
        assert error < 0.03 * np.sqrt(np.mean(np.square(expected)))


@every_layer
def test_keras_file_gives_the_same_outputs(case, tmp_path):
    model = harness.functional(case, harness.make(case))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    values = tree.map_structure(tf.convert_to_tensor, harness.arguments(case))
    harness.assert_same(
        [np.asarray(o) for o in tree.flatten(loaded(values))],
        [np.asarray(o) for o in tree.flatten(model(values))],
        0.0,
    )


@every_public_layer
def test_saved_model_gives_the_same_outputs(case, tmp_path):
    layer = harness.make(case)
    values = harness.arguments(case)
    served = harness.saved_and_loaded(layer, values, tmp_path)
    harness.assert_same(served, harness.outputs(layer, values))


@every_layer
def test_gradients_reach_every_weight_and_no_padding(case):
    layer = harness.make(case)
    tensors = tree.map_structure(tf.convert_to_tensor, harness.arguments(case))
    padded = tree.flatten([tensors[name] for name in case.history])
    rng = np.random.default_rng(5)
    with tf.GradientTape() as tape:
        tape.watch(padded)
        loss = 0.0
        for output in tree.flatten(layer(**tensors)):
            weights = rng.normal(size=output.shape)
            weights *= harness.is_real(case, weights)
            if output.dtype != tf.bool:
                loss += tf.reduce_sum(output * weights.astype(np.float32))
    # What `BehaviorReader.encode` alone returns: test_behavior_reader.py.
    unread = {"second_order_gain"} if type(layer) is BehaviorReader else set()
    read = [w for w in layer.trainable_weights if w.name not in unread]
    variables = [weight.value for weight in read]
    to_weights, to_inputs = tape.gradient(loss, (variables, padded))
    for weight, gradient in zip(read, to_weights, strict=True):
        assert gradient is not None, weight.path
        assert np.any(tf.convert_to_tensor(gradient).numpy()), weight.path
    for gradient in (g for g in to_inputs if g is not None):
        # Padding of a history as long as its real part stays untouched.
        assert np.any(gradient[0])
        assert not np.any(gradient[1, 4:])
        assert not np.any(gradient[3])


def _drops(case):
    # Those have no hidden layer to drop from.
    if case.name in (
        "shallow_mixture",
        "fine_grained_dwell",
        "behavior_reader_that_only_compares",
    ):
        return False
    made = type(case.create()).__init__
    return "dropout_rate" in inspect.signature(made).parameters


@over([case for case in ALL if _drops(case)])
def test_dropout_is_for_training_only(case):
    layer = case.create(dropout_rate=0.5)
    values = tree.map_structure(tf.convert_to_tensor, harness.arguments(case))
    outputs, same, other = (
        tree.flatten(layer(**values, **training))
        for training in ({}, {"training": False}, {"training": True})
    )
    for output, one in zip(outputs, same, strict=True):
        np.testing.assert_array_equal(output, one)
    assert np.any(outputs[0] != other[0])


@over([case for case in ALL if case.history])
@pytest.mark.parametrize("extra", [0, 3])
def test_padding_changes_nothing(case, extra):
    layer = harness.make(case)
    values = harness.arguments(case)
    changed = harness.outputs(layer, harness.repadded(case, values, extra))
    for output, other in zip(
        harness.outputs(layer, values), changed, strict=True
    ):
        if case.event_outputs:
            other = other[:, : output.shape[1]]
        real = harness.is_real(case, output)
        harness.assert_same([other * real], [output * real])


@over([case for case in ALL if case.candidates])
def test_candidates_do_not_see_each_other(case):
    layer = harness.make(case)
    values = harness.arguments(case)
    order = [2, 0]
    some = {
        name: tree.map_structure(lambda v: v[:, order], value)
        if name in case.candidates
        else value
        for name, value in values.items()
    }
    harness.assert_same(
        harness.outputs(layer, some),
        [output[:, order] for output in harness.outputs(layer, values)],
    )


@every_layer
def test_requests_do_not_see_each_other(case):
    layer = harness.make(case)
    values = harness.arguments(case)
    order = [3, 1]
    some = tree.map_structure(lambda v: v[order], values)
    harness.assert_same(
        harness.outputs(layer, some),
        [output[order] for output in harness.outputs(layer, values)],
    )
