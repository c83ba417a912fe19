"""Curves and fusion learned after the main network, kept beside it."""

from pathlib import Path

import keras

from jd_tf.training.checkpoints import Checkpoints
from jd_tf.training.loop.training_state import TrainingState
from jd_tf.training.named_variables import post_training_variables

POST_TRAINING = "post_training"


def read_post_training(
    workdir: str | Path, main_step: int, base_step: int
) -> TrainingState | None:
    """The state of the post-training stage on these main weights, if any.

    Args:
        workdir: of the run.
        main_step: main steps the run has taken.
        base_step: checkpoint of the main weights.

    Raises:
        DataError: if the newest checkpoint is damaged.
    """
    checkpoints = Checkpoints(Path(workdir) / POST_TRAINING)
    steps = checkpoints.steps()
    if not steps:
        return None
    state = TrainingState(**checkpoints.read_state(steps[-1]))
    if (state.main_step, state.base_step) != (main_step, base_step):
        # The main network went on since.
        return None
    return state


def restore_post_training(
    workdir: str | Path, model: keras.Model, main_step: int, base_step: int
) -> TrainingState | None:
    """Sets curves and fusion, and nothing else, to what was learned last.

    Args:
        workdir: of the run.
        model: with the main weights of `base_step`.
        main_step: main steps the run has taken.
        base_step: checkpoint of the main weights.

    Returns:
        As `read_post_training`; None leaves the model as it is.
    """
    state = read_post_training(workdir, main_step, base_step)
    if state is not None:
        Checkpoints(Path(workdir) / POST_TRAINING).restore(
            state.step, post_training_variables(model)
        )
    return state
