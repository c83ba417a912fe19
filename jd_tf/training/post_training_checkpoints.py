"""What is learned after the main network, kept beside its checkpoints."""

import dataclasses
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from jd_tf.training.checkpoints import Checkpoints
from jd_tf.training.named_variables import model_variables

HEAD = "head"


@dataclasses.dataclass
class HeadState:
    """Where the training of the head stands; goes through JSON unchanged.

    Attributes:
        main_step: main steps taken in all when it began.
        base_step: checkpoint whose main network it was trained on.
        step: fusion steps taken since.
        epoch: passes over the data that are complete.
        batch: batches of the present pass that are done.
        seconds: wall time, all sessions together.
        curves: objective -> what a person should know of its curve.
        history: rows as of `TrainingState`.
        window: sums over the steps since the last row.
    """

    main_step: int
    base_step: int
    step: int = 0
    epoch: int = 0
    batch: int = 0
    seconds: float = 0.0
    curves: dict[str, Any] = dataclasses.field(default_factory=dict)
    history: list[dict] = dataclasses.field(default_factory=list)
    window: dict[str, Any] = dataclasses.field(default_factory=dict)


def head_variables(model: keras.Model) -> dict[str, tf.Variable]:
    """Curves and fusion of a model by name; none without a `head`."""
    head = getattr(model, "head", None)
    ours = {id(v.value) for v in head.variables} if head is not None else set()
    return {
        f"model/{name}": variable
        for name, variable in model_variables(model).items()
        if id(variable) in ours
    }


def read_head(
    workdir: str | Path, main_step: int, base_step: int
) -> HeadState | None:
    """Where the head of these main weights stands, None if nowhere.

    Args:
        workdir: of the run.
        main_step: main steps the run has taken.
        base_step: checkpoint of the main weights.

    Raises:
        DataError: if the newest checkpoint is damaged.
    """
    checkpoints = Checkpoints(Path(workdir) / HEAD)
    steps = checkpoints.steps()
    if not steps:
        return None
    state = HeadState(**checkpoints.read_state(steps[-1]))
    if (state.main_step, state.base_step) != (main_step, base_step):
        # The main network went on since.
        return None
    return state


def restore_head(
    workdir: str | Path, model: keras.Model, main_step: int, base_step: int
) -> HeadState | None:
    """Sets curves and fusion, and nothing else, to what was learned last.

    Args:
        workdir: of the run.
        model: with the main weights of `base_step`.
        main_step: main steps the run has taken.
        base_step: checkpoint of the main weights.

    Returns:
        As `read_head`; None leaves the model as it is.
    """
    variables = head_variables(model)
    if not variables:
        return None
    state = read_head(workdir, main_step, base_step)
    if state is not None:
        Checkpoints(Path(workdir) / HEAD).restore(state.step, variables)
    return state
