"""Counts pairs and trains for a program; failures become exit codes."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jd_tf.data import make_item_pairs
from jd_tf.models.registry import DEFAULT_MODEL
from jd_tf.training.config import TrainingConfig
from jd_tf.training.loop.trainer import NotFiniteError, Trainer
from jd_tf.training.train import train

NOT_FINITE = 3


def count_pairs(
    data_dir: str | Path, path: Path, options: dict[str, Any], progress: bool
) -> None:
    """Counts item pairs of a data folder for a program, and writes them."""
    pairs = make_item_pairs(data_dir, **options, progress=progress)
    pairs.save(path)
    print(pairs.summary())


def train_ranker(
    data_dir: str | Path,
    workdir: str | Path,
    model_config: Any,
    training_config: TrainingConfig,
    item_vectors: str | Path | None = None,
    model: str = DEFAULT_MODEL,
    pairs: str | Path | None = None,
    continue_on: bool = False,
) -> int:
    """Trains a registered model, or resumes a run; arguments as of `train`.

    Returns:
        Steps taken, those of earlier sessions included.

    Raises:
        SystemExit: with the exit code, if the run was stopped by a signal or
            by numbers that are not finite.
    """
    return finish_training(
        lambda: train(
            data_dir,
            workdir,
            model,
            model_config,
            training_config,
            item_vectors,
            pairs,
            continue_on,
        ),
        training_config.monitor,
    )


def finish_training(run: Callable[[], Trainer], monitor: str) -> int:
    """Trains by `run` and prints what came of it; see `train_ranker`."""
    try:
        trainer = run()
    except NotFiniteError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(NOT_FINITE)
    if trainer.signal:
        sys.exit(128 + trainer.signal)
    state = trainer.state
    if not trainer.steps_taken:
        print(
            f"nothing left to train: {trainer.stopped_by} reached before. Ask "
            "for more, e.g. more --epochs."
        )
    print(
        f"trained {state.step - state.first_step} steps on "
        f"{state.impressions:,} impressions in {state.seconds:.0f} s; "
        f"stopped by {trainer.stopped_by}"
    )
    if state.best_step >= 0:
        print(
            f"best {monitor} {state.best_value:.5f} at step "
            f"{state.best_step}, in {trainer.checkpoints.folder}"
        )
    return state.step
