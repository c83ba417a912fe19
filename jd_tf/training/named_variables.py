"""Names of all variables that a checkpoint must hold."""

import re

import keras
import tensorflow as tf

from jd_tf.training.balancing.loss_balancer import LossBalancer
from jd_tf.training.sparse_dense_optimizer import SparseDenseOptimizer

# Keras numbers these over the whole process; a model built second would
# have other names than the same model built first.
_NUMBERED = re.compile(r"(seed_generator)_\d+")


def model_variables(model: keras.Model) -> dict[str, tf.Variable]:
    """Every variable of a model, random states included, by name.

    Args:
        model: built.

    Returns:
        Path within the model -> variable. The same for every model built
        from the same configuration, in whatever process.
    """
    named: dict[str, tf.Variable] = {}
    for variable in model.variables:
        path = path_in_model(model, variable.path)
        name, number = path, 1
        while name in named:
            number += 1
            name = f"{path}#{number}"
        named[name] = variable.value
    return named


def post_training_variables(model: keras.Model) -> dict[str, tf.Variable]:
    """The variables learned after the main training: curves and fusion.

    Args:
        model: built; `calibration` is its layer of curves or None.

    Returns:
        Name -> variable, as in `training_variables`.
    """
    variables = list(model.fusion_variables)
    if model.calibration is not None:
        variables += model.calibration.variables
    learned = {id(variable.value) for variable in variables}
    return {
        f"model/{name}": variable
        for name, variable in model_variables(model).items()
        if id(variable) in learned
    }


def path_in_model(model: keras.Model, path: str) -> str:
    """A variable's path without what differs from process to process."""
    return _NUMBERED.sub(r"\1", path.removeprefix(f"{model.name}/"))


def optimizer_variables(
    model: keras.Model, optimizer: SparseDenseOptimizer
) -> dict[str, tf.Variable]:
    """Every variable of an optimizer, by name.

    Args:
        model: whose variables the optimizer was built on.
        optimizer: built.

    Returns:
        Path of a model variable and name of the slot -> slot; name -> what
        belongs to no variable of the model.
    """
    named, slots = {}, set()
    for path, by_name in optimizer.slots().items():
        for slot, variable in by_name.items():
            named[f"{path_in_model(model, path)}/{slot}"] = variable.value
            slots.add(id(variable))
    for variable in optimizer.variables:
        if id(variable) not in slots:
            named[variable.name] = variable.value
    return named


def training_variables(
    model: keras.Model,
    optimizer: SparseDenseOptimizer,
    balancer: LossBalancer,
) -> dict[str, tf.Variable]:
    """Every variable a step reads or writes, by name.

    Args:
        model: built.
        optimizer: built on the model's trainable variables.
        balancer: of the objectives.

    Returns:
        Name -> variable; the model's begin with `model/`.
    """
    named = {
        f"model/{name}": variable
        for name, variable in model_variables(model).items()
    }
    for name, variable in optimizer_variables(model, optimizer).items():
        named[f"optimizer/{name}"] = variable
    for name, variable in balancer.variables.items():
        named[f"balancer/{name}"] = variable
    for index, variable in enumerate(balancer.trainable_variables):
        named[f"balancer/trainable/{index}"] = variable.value
    return named
