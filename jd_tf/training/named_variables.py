"""Names of all variables that a checkpoint must hold."""

import re
from collections import Counter

import keras
import tensorflow as tf

from jd_tf.layers import PairMatch
from jd_tf.training.sparse_dense_optimizer import SparseDenseOptimizer

# Keras numbers these over the whole process; a model built second would
# have other names than the same model built first.
_NUMBERED = re.compile(r"(seed_generator)_\d+")

_RATE = "learning_rate"

NamedVariables = dict[str, tf.Variable]


def model_variables(model: keras.Model) -> NamedVariables:
    """Returns the variables of a built model, random states included.

    Tables of item pairs are left out: a run keeps them in a file of their own.
    Names are paths within the model, the same for every model built from the
    same configuration, in whatever process.
    """
    named: NamedVariables = {}
    counts: Counter[str] = Counter()
    tables = {
        id(variable)
        for layer in model._flatten_layers()
        if isinstance(layer, PairMatch)
        for variable in layer.variables
    }
    for variable in model.variables:
        if id(variable) in tables:
            continue
        path = _path_in_model(model, variable.path)
        counts[path] += 1
        number = counts[path]
        named[path if number == 1 else f"{path}#{number}"] = variable.value
    return named


def checkpoint_variables(model: keras.Model) -> NamedVariables:
    """Returns `model_variables` as checkpoints call them: `model/<name>`."""
    return {f"model/{n}": v for n, v in model_variables(model).items()}


def trained_variables(model: keras.Model) -> list[keras.Variable]:
    """Returns what main steps train: all that is trainable but the fusion."""
    fusion = {id(variable) for variable in model.fusion_variables}
    return [v for v in model.trainable_variables if id(v) not in fusion]


def post_training_variables(model: keras.Model) -> NamedVariables:
    """Returns those learned after the main training: trees, curves, fusion."""
    variables = list(model.fusion_variables)
    if model.trees is not None:
        variables += model.trees.variables
    if model.calibration is not None:
        variables += model.calibration.variables
        # Calibration multiplies amounts by their units.
        variables += [model.amount_scales] * bool(model.schema.amount_names)
    learned = {id(variable.value) for variable in variables}
    named = checkpoint_variables(model)
    return {n: v for n, v in named.items() if id(v) in learned}


def optimizer_variables(
    model: keras.Model, optimizer: SparseDenseOptimizer
) -> NamedVariables:
    """Returns every variable of an optimizer built on a model's variables.

    Slots are named by the path of their variable in the model and their own
    name, what belongs to no variable of the model by its name alone. Rates
    are left out: they are those of the config.
    """
    named, slots = {}, set()
    for path, by_name in optimizer.slots().items():
        for slot, variable in by_name.items():
            named[f"{_path_in_model(model, path)}/{slot}"] = variable.value
            slots.add(id(variable))
    for variable in optimizer.variables:
        if id(variable) not in slots and not variable.name.endswith(_RATE):
            named[variable.name] = variable.value
    return named


def _path_in_model(model: keras.Model, path: str) -> str:
    """Returns a variable's path without what differs between processes."""
    return _NUMBERED.sub(r"\1", path.removeprefix(f"{model.name}/"))
