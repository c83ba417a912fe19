"""A data folder and a model to a trained model."""

from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from jd_tf.data.batches import explain_read_error, read_batches
from jd_tf.data.dataset import split_files
from jd_tf.training.config import TrainingConfig
from jd_tf.training.loop.trainer import Trainer
from jd_tf.training.post_training_stage import FitCurves, HeadStage
from jd_tf.training.validator import Auc, Validator

TRAIN, VALIDATION = "train", "validation"


def train_folder(
    model: keras.Model,
    data_dir: str | Path,
    workdir: str | Path,
    config: TrainingConfig,
    auc: Auc | None = None,
    fit_curves: FitCurves | None = None,
) -> Trainer:
    """Trains on a data folder's "train" split, watching "validation".

    First the main network, with the fusion beside it where that alternates;
    then, unless a signal ended it, what stands on top: see `HeadStage`.

    Args:
        model: with a `schema`, which the folder's must equal. Has the best
            weights afterwards.
        data_dir: made by `make_data`.
        workdir: of the run; resumed if there is one.
        config: of the run.
        auc: (scores, labels, weights) -> AUC, for validation.
        fit_curves: fits the curves of a model that calibrates.

    Returns:
        The trainer: `state.history` is the history, `stopped_by` and
        `signal` say how it ended.

    Raises:
        DataError: naming file, record or column of what is missing, cannot
            be read or does not fit; and all that `Trainer.train` raises.
    """
    if getattr(model.config, "calibrate", False) and fit_curves is None:
        raise ValueError("a model that calibrates needs `fit_curves`.")

    def batches(split: str, **options: Any) -> tf.data.Dataset:
        return read_batches(
            data_dir, split, config.batch_size, schema=model.schema, **options
        )

    # Both are looked at before the first step, not after the first epoch.
    num_requests = sum(split_files(data_dir, TRAIN).values())
    batches(VALIDATION)
    steps_per_epoch = -(-num_requests // config.batch_size)

    def train_batches(epoch: int, skip: int) -> tf.data.Dataset:
        return batches(
            TRAIN,
            shuffle_seed=config.seed,
            epoch=epoch,
            skip_batches=skip,
            reward=reads_reward,
        )

    trainer = Trainer(
        model,
        config,
        workdir,
        train_batches,
        Validator(
            model,
            lambda: batches(VALIDATION),
            model.schema.objective_names,
            auc,
        ),
        steps_per_epoch=steps_per_epoch,
    )
    # Read only where it is asked for: most data has none.
    reads_reward = trainer.fusion is not None and trainer.fusion.loss.reward
    stage = HeadStage(
        trainer,
        train_batches,
        lambda: batches(VALIDATION),
        fit_curves,
        steps_per_epoch,
    )
    try:
        trainer.train()
        if not trainer.signal:
            stage.run()
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
        for split in (TRAIN, VALIDATION):
            found = explain_read_error(error, data_dir, split)
            # Otherwise every record can be read and the fault is not there.
            if not str(found).endswith(error.message):
                raise found from error
        raise
    return trainer
