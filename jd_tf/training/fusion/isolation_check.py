"""Gradient-isolation check: main and fusion steps leave each other alone."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from jd_tf.training.fusion.fusion_step import FusionStep
from jd_tf.training.loop.training_step import Batch
from jd_tf.training.main_step import MainStep

Variables = Mapping[str, tf.Variable]


class IsolationError(AssertionError):
    """A step changed, or could change, variables of the other part."""


def variable_partition(
    main: MainStep, fusion: FusionStep
) -> tuple[dict[str, tf.Variable], dict[str, tf.Variable]]:
    """Returns all state of the main network and all of the fusion, by name."""
    ids = {id(v.value) for v in fusion.model.fusion_variables}
    every = main.named_variables().items()
    return (
        {n: v for n, v in every if id(v) not in ids},
        {n: v for n, v in every if id(v) in ids} | fusion.optimizer_variables(),
    )


def gradient_leaks(
    main: MainStep, fusion: FusionStep, batch: Batch
) -> list[str]:
    """Returns names of main variables the fusion loss has a gradient by.

    Here the main network runs under the tape, so that nothing but its
    stop_gradient stands between the two. A gradient of zeros is one, too.
    """
    variables, _ = variable_partition(main, fusion)
    floats = {n: v for n, v in variables.items() if v.dtype.is_floating}
    model = fusion.model
    with tf.GradientTape() as tape:
        tape.watch(list(floats.values()))
        score, _ = model.fusion(*model.fusion_inputs(batch))
        total = fusion.loss(batch, model.fusion.list_logits(score)).total
    gradients = tape.gradient(total, floats)
    return [name for name in floats if gradients[name] is not None]


def check_isolation(
    main: MainStep, fusion: FusionStep, batch: Batch
) -> tuple[list[str], list[str]]:
    """Checks on one batch that neither step touches the other's variables.

    The fusion loss must have no gradient by any main variable; one step of
    either kind, taken here and undone, must leave every variable, optimizer
    slot, statistic and random state of the other part as it was, to the last
    bit. Runs eagerly, before any graph is traced; needs room for a copy of
    all variables meanwhile.

    Returns names of the main variables that the main step changed, and of the
    fusion's that the fusion step changed: none if no request of the batch had
    an order to learn.

    Raises:
        IsolationError: naming what is shared, leaks or was changed.
    """
    leaks = gradient_leaks(main, fusion, batch)
    if leaks:
        raise IsolationError(
            f"the fusion loss has a gradient by {len(leaks)} variable(s) "
            f"of the main network, among them `{leaks[0]}`: a "
            "stop_gradient is missing."
        )
    parts = variable_partition(main, fusion)
    main_part, fusion_part = parts
    _check_disjoint(main_part, fusion_part)
    saved = [_values(part) for part in parts]
    try:
        fusion(batch)
        _refuse(changed(main_part, saved[0]), "fusion step", "main network")
        fusion_changes = changed(fusion_part, saved[1])
        between = _values(fusion_part)
        main(batch)
        _refuse(changed(fusion_part, between), "main step", "fusion")
        return changed(main_part, saved[0]), fusion_changes
    finally:
        for variables, values in zip(parts, saved, strict=True):
            for name, variable in variables.items():
                variable.assign(values[name])


def changed(
    variables: Variables, values: Mapping[str, np.ndarray]
) -> list[str]:
    """Returns names of variables that differ from earlier values in a bit."""
    return [
        name
        for name, variable in variables.items()
        if not np.array_equal(_bits(variable.numpy()), _bits(values[name]))
    ]


def _check_disjoint(main: Variables, fusion: Variables) -> None:
    """Raises an IsolationError if a variable is in both parts."""
    mine = {id(variable): name for name, variable in main.items()}
    shared = [
        f"`{name}` (`{mine[id(variable)]}`)"
        for name, variable in fusion.items()
        if id(variable) in mine
    ]
    if shared:
        raise IsolationError(
            "the main network and the fusion share "
            f"{', '.join(shared[:5])}: give each its own variables and its "
            "own optimizer."
        )


def _refuse(names: Sequence[str], step: str, part: str) -> None:
    if names:
        raise IsolationError(
            f"a {step} changed {len(names)} variable(s) of the {part}, "
            f"among them `{names[0]}`."
        )


def _values(variables: Variables) -> dict[str, np.ndarray]:
    # A copy: `numpy` may show the variable's own memory.
    return {name: np.array(v.numpy()) for name, v in variables.items()}


def _bits(array: np.ndarray) -> np.ndarray:
    """Returns bytes: NaN equals itself, and -0.0 does not equal 0.0."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
