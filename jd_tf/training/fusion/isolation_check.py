"""Whether a step leaves alone what is not its own, to the last bit."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

Variables = Mapping[str, tf.Variable]
Step = Callable[[], Any]


class IsolationError(AssertionError):
    """A step changed, or could change, what belongs to another."""


class Isolation(NamedTuple):
    """What the two steps changed of their own, while they were watched.

    Attributes:
        main: names of the main side's variables that its step changed.
        fusion: names of the fusion's variables that its step changed; none
            if no request of the batch said anything on the fusion.
    """

    main: tuple[str, ...]
    fusion: tuple[str, ...]


def check_apart(main: Variables, fusion: Variables) -> None:
    """Raises an IsolationError if a variable is on both sides.

    Args:
        main: weights, statistics, random states and optimizer slots.
        fusion: the same of the fusion.
    """
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


def watch_steps(
    main_step: Step, fusion_step: Step, main: Variables, fusion: Variables
) -> Isolation:
    """Takes a step of either kind and compares bit by bit; then undoes both.

    Needs room for a copy of all variables in the main memory meanwhile.

    Args:
        main_step: takes one step of the main network.
        fusion_step: takes one step of the fusion.
        main: all that belongs to the main network, by name.
        fusion: all that belongs to the fusion.

    Returns:
        What changed.

    Raises:
        IsolationError: naming what a step changed on the other side.
    """
    check_apart(main, fusion)
    saved = [_values(main), _values(fusion)]
    try:
        fusion_step()
        _refuse(changed(main, saved[0]), "fusion step", "main network")
        moved = changed(fusion, saved[1])
        between = _values(fusion)
        main_step()
        _refuse(changed(fusion, between), "main step", "fusion")
        return Isolation(
            tuple(changed(main, saved[0])),
            tuple(moved),
        )
    finally:
        for variables, values in zip((main, fusion), saved, strict=True):
            for name, variable in variables.items():
                variable.assign(values[name])


def changed(
    variables: Variables, values: Mapping[str, np.ndarray]
) -> list[str]:
    """Names of the variables that are not what they were, bit by bit.

    Args:
        variables: by name.
        values: what they were, by the same names.
    """
    return [
        name
        for name, variable in variables.items()
        if not np.array_equal(_bits(variable.numpy()), _bits(values[name]))
    ]


def with_gradient(
    tape: tf.GradientTape, total: tf.Tensor, variables: Variables
) -> list[str]:
    """Names of the variables that a loss has a gradient by, be it zero.

    Args:
        tape: which saw the loss computed and watched the variables.
        total: the loss.
        variables: by name.
    """
    floats = {n: v for n, v in variables.items() if v.dtype.is_floating}
    gradients = tape.gradient(total, list(floats.values()))
    return [
        name
        for name, gradient in zip(floats, gradients, strict=True)
        if gradient is not None
    ]


def _refuse(names: Sequence[str], step: str, side: str) -> None:
    if names:
        raise IsolationError(
            f"a {step} changed {len(names)} variable(s) of the {side}, "
            f"among them `{names[0]}`."
        )


def _values(variables: Variables) -> dict[str, np.ndarray]:
    # A copy: `numpy` may show the variable's own memory.
    return {name: np.array(v.numpy()) for name, v in variables.items()}


def _bits(array: np.ndarray) -> np.ndarray:
    """Bytes, so that NaN equals itself and -0.0 does not equal 0.0."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
