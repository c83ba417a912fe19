"""Trains for a program: prints the result, turns failures into exit codes."""

import sys
from pathlib import Path
from typing import Any

from jd_tf.models.registry import DEFAULT_MODEL
from jd_tf.training.config import TrainingConfig
from jd_tf.training.loop.trainer import NotFiniteError
from jd_tf.training.train import train

NOT_FINITE = 3


def train_ranker(
    data_dir: str | Path,
    workdir: str | Path,
    model_config: Any,
    training_config: TrainingConfig,
    item_vectors: str | Path | None = None,
    model: str = DEFAULT_MODEL,
    pairs: str | Path | None = None,
) -> int:
    """Trains a registered model, or resumes a run; arguments as of `train`.

    Returns:
        Steps taken, those of earlier sessions included.

    Raises:
        SystemExit: with the exit code, if the run was stopped by a signal or
            by numbers that are not finite.
    """
    try:
        trainer = train(
            data_dir,
            workdir,
            model,
            model_config,
            training_config,
            item_vectors,
            pairs,
        )
    except NotFiniteError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(NOT_FINITE)
    if trainer.signal:
        sys.exit(128 + trainer.signal)
    state = trainer.state
    print(
        f"trained {state.step} steps on {state.impressions:,} impressions in "
        f"{state.seconds:.0f} s; stopped by {trainer.stopped_by}"
    )
    if state.best_step >= 0:
        print(
            f"best {training_config.monitor} {state.best_value:.5f} at step "
            f"{state.best_step}, in {trainer.checkpoints.folder}"
        )
    return state.step
