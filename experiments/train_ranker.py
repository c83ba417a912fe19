"""What `train` and `quickstart` share: a ranker from data to weights."""

import sys
from pathlib import Path

import keras

from jd_tf.data.dataset import read_schema
from jd_tf.evaluation.metrics import auc
from jd_tf.models.jd_ranker import JDRanker
from jd_tf.models.jd_ranker_config import JDRankerConfig
from jd_tf.training.config import TrainingConfig
from jd_tf.training.folder import train_folder
from jd_tf.training.loop import NotFiniteError

NOT_FINITE = 3


def train_ranker(
    data_dir: str | Path,
    workdir: str | Path,
    model_config: JDRankerConfig,
    training_config: TrainingConfig,
) -> int:
    """Trains a ranker of the data's schema, or goes on with one.

    Args:
        data_dir: made by make_data.
        workdir: of the run.
        model_config: of the ranker.
        training_config: of the run.

    Returns:
        Steps taken, those of earlier sessions included.

    Raises:
        SystemExit: with the exit code, if the run was stopped by a signal or
            ran into numbers that are not finite.
    """
    keras.utils.set_random_seed(training_config.seed)
    model = JDRanker(read_schema(data_dir), model_config)
    try:
        trainer = train_folder(model, data_dir, workdir, training_config, auc)
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
