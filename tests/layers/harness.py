"""Helpers of the tests of all layers and blocks, functions of a case."""

import inspect
import json
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import tree

from tests.cases import LENGTHS, Case

ROOT = Path(__file__).resolve().parents[2]


def make(case: Case, **kwargs) -> keras.layers.Layer:
    """Makes and builds a layer whose weights are all away from zero."""
    keras.utils.set_random_seed(20)
    layer = case.create(**kwargs)
    shapes = tree.map_shape_structure(tuple, shapes_of(arguments(case)))
    accepted = inspect.signature(layer.build).parameters
    layer.build(
        **{
            f"{name}_shape": shape
            for name, shape in shapes.items()
            if f"{name}_shape" in accepted
        }
    )
    rng = np.random.default_rng(7)
    for weight in layer.trainable_weights:
        noise = rng.normal(scale=0.3, size=weight.shape)
        weight.assign(keras.ops.add(weight, noise))
    if case.prepare is not None:
        case.prepare(layer)
    return layer


def arguments(case: Case, seed: int = 1) -> dict:
    """The case's call arguments."""
    return case.inputs(np.random.default_rng(seed))


def tensors(case: Case) -> dict:
    """The same as tensors."""
    return tree.map_structure(tf.convert_to_tensor, arguments(case))


def shapes_of(values: dict) -> dict:
    """Shapes in place of arrays."""
    return tree.map_structure(lambda v: v.shape, values)


def outputs(layer, values: dict) -> list:
    """Calls a layer and returns its outputs as NumPy arrays."""
    called = layer(**tree.map_structure(tf.convert_to_tensor, values))
    return [
        np.asarray(tf.cast(output, tf.float32))
        for output in tree.flatten(called)
    ]


def assert_same(actual: list, expected: list, tolerance: float = 1e-5):
    """Compares two lists of arrays."""
    assert len(actual) == len(expected)
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


def is_real(case: Case, output: np.ndarray) -> np.ndarray:
    """Ones, and zeros where the output belongs to a padded event."""
    real = np.ones_like(output)
    if case.event_outputs:
        for row, length in enumerate(LENGTHS):
            real[row, length:] = 0
    return real


def repadded(case: Case, values: dict, extra: int = 0) -> dict:
    """Other numbers in the padding, and `extra` more padded events."""
    rng = np.random.default_rng(3)

    def longer(array):
        shape = (array.shape[0], array.shape[1] + extra, *array.shape[2:])
        padded = rng.uniform(1, 100, shape).astype(array.dtype)
        for row, length in enumerate(LENGTHS):
            padded[row, :length] = array[row, :length]
        return padded

    return {
        name: tree.map_structure(longer, value)
        if name in case.history
        else value
        for name, value in values.items()
    }


def functional(case: Case, layer) -> keras.Model:
    """The layer within a user's own functional model, axis 1 left open."""
    moving = (*case.history, *case.candidates)

    def symbolic(name, array, label):
        shape = array.shape[1:]
        if name in moving:
            shape = (None, *shape[1:])
        dtype = "string" if array.dtype == object else array.dtype.name
        return keras.Input(shape, dtype=dtype, name=label)

    def inside(name, value):
        if not tree.is_nested(value):
            return symbolic(name, value, name)
        parts = [
            symbolic(name, array, f"{name}_{index}")
            for index, array in enumerate(tree.flatten(value))
        ]
        return tree.pack_sequence_as(value, parts)

    inputs = {
        name: inside(name, value) for name, value in arguments(case).items()
    }
    return keras.Model(inputs, layer(**inputs))


def config_copy(layer) -> keras.layers.Layer:
    """The layer made again from its config, by way of JSON text."""
    config = json.loads(json.dumps(layer.get_config()))
    return type(layer).from_config(config)


def saved_and_loaded(layer, values: dict, path) -> list:
    """Outputs of the layer as a SavedModel, loaded again."""
    tensors = tree.map_structure(tf.convert_to_tensor, values)
    module = tf.Module()
    module.layer = layer
    module.serve = tf.function(
        lambda inputs: layer(**inputs),
        input_signature=[
            tree.map_structure(
                lambda t: tf.TensorSpec([None, *t.shape[1:]], t.dtype), tensors
            )
        ],
    )
    tf.saved_model.save(module, str(path))
    loaded = tf.saved_model.load(str(path))
    return [np.asarray(out) for out in tree.flatten(loaded.serve(tensors))]


def weights_of(layer) -> dict:
    """NumPy weights by their path within the layer, for the oracles."""
    inside = len(layer.name) + 1
    return {
        weight.path[weight.path.index(layer.name) + inside :]: weight.numpy()
        for weight in layer.weights
    }
