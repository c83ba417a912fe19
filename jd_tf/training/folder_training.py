"""Trains a model on a data folder."""

from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
import tqdm

from jd_tf.data.batches import explain_read_error, read_batches
from jd_tf.data.dataset import fingerprint, split_files
from jd_tf.data.item_pairs.item_pairs import ItemPairs
from jd_tf.schema import DataError
from jd_tf.training.build_from_config import (
    build_balancer,
    build_fusion,
    build_trainer,
    resolve_schedule,
)
from jd_tf.training.config import TrainingConfig
from jd_tf.training.loop.trainer import Trainer
from jd_tf.training.post_training_stage import run_post_training
from jd_tf.training.validator import Validator
from jd_tf.training.workdir import PAIRS_FILE

TRAIN, VALIDATION = "train", "validation"
# Impressions, at most, that dense columns are normalized by; but at least so
# many requests.
_SAMPLED_IMPRESSIONS, _SAMPLED_REQUESTS = 200_000, 2_000


def train_folder(
    model: keras.Model,
    data_dir: str | Path,
    workdir: str | Path,
    config: TrainingConfig,
    pairs: ItemPairs | None = None,
    continue_on: bool = False,
) -> Trainer:
    """Trains on a data folder's "train" split, evaluating on "validation".

    A new run first adapts the model to a sample of the training split, unless
    it is adapted already. Then the main network learns, with the fusion
    beside it where that alternates; at last, unless a signal ended it, the
    post-training stage: calibration curves and fusion, see
    `run_post_training`.

    Args:
        model: with a `schema`, which the folder's must equal. Has the best
            weights afterwards.
        data_dir: made by `make_data`.
        workdir: of the run; resumed if there is one.
        config: of the run.
        pairs: that the model has; training requests are told their part of
            the data, and the run's folder keeps them.
        continue_on: go on from the best weights of a run on other data, which
            is refused otherwise.

    Returns:
        The trainer of the main network: `state.history` is the history,
        `stopped_by` and `signal` tell how it ended.

    Raises:
        DataError: naming file, record or column of what is missing, cannot
            be read or does not fit; and all that `Trainer.train` raises.
        IsolationError: main and fusion steps change each other's variables.
    """

    def batches(split: str, **options: Any) -> tf.data.Dataset:
        return read_batches(
            data_dir, split, config.batch_size, schema=model.schema, **options
        )

    policy = model.dtype_policy.name
    if policy != config.dtype_policy:
        raise DataError(
            f"`dtype_policy` is {config.dtype_policy}, but the model was built "
            f"with {policy}. Build it with `dtype={config.dtype_policy!r}`."
        )
    steps_per_epoch = _steps_per_epoch(data_dir, config)
    fusion = build_fusion(config, model)
    # Read only where it is needed: most data has none.
    reads_reward = fusion is not None and fusion.loss.reward

    def train_batches(epoch: int, skip: int) -> tf.data.Dataset:
        train = batches(
            TRAIN,
            shuffle_seed=config.seed,
            epoch=epoch,
            skip_batches=skip,
            bucket_batches=config.bucket_batches,
            reward=reads_reward,
            keys=pairs is not None,
        )
        if pairs is None:
            return train
        return train.map(
            tf.autograph.experimental.do_not_convert(
                lambda batch: pairs.parts.mark(batch, model.schema)
            )
        )

    # Opened before the first step, not after the first epoch.
    validation = batches(VALIDATION)
    validator = Validator(model, lambda: validation)
    try:
        # Before the folder is taken by a config that cannot be run.
        validator.check_monitor(config.monitor)
        trainer = build_trainer(
            config,
            model,
            workdir,
            train_batches,
            validator,
            fusion,
            steps_per_epoch,
            fingerprint(data_dir, (TRAIN, VALIDATION)),
            continue_on,
        )
        kept = Path(workdir) / PAIRS_FILE
        if pairs is not None and pairs.where != str(kept):
            pairs.save(kept)
        # A resumed run has the statistics in its checkpoint.
        if not (model.adapted or trainer.checkpoints.steps()):
            adapt_model(model, data_dir, config)
        trainer.train()
        if not trainer.signal:
            trainer.signal = run_post_training(
                trainer, fusion, validator, steps_per_epoch
            )
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
        for split in (TRAIN, VALIDATION):
            found = explain_read_error(error, data_dir, split)
            # Otherwise every record can be read and the fault is not there.
            if not str(found).endswith(error.message):
                raise found from error
        raise
    return trainer


def check_training(
    model: keras.Model, data_dir: str | Path, config: TrainingConfig
) -> None:
    """Raises what `train_folder` would for a config that cannot be run."""
    validation = read_batches(
        data_dir, VALIDATION, config.batch_size, schema=model.schema
    )
    Validator(model, lambda: validation).check_monitor(config.monitor)
    build_fusion(config, model)
    build_balancer(config, model.schema.objective_names)
    resolve_schedule(config, _steps_per_epoch(data_dir, config))


def _steps_per_epoch(data_dir: str | Path, config: TrainingConfig) -> int:
    num_requests = sum(split_files(data_dir, TRAIN).values())
    return -(-num_requests // config.batch_size)


def adapt_model(
    model: keras.Model, data_dir: str | Path, config: TrainingConfig
) -> None:
    """Adapts a model to a sample of the training split."""
    num_requests = sum(split_files(data_dir, TRAIN).values())
    wanted = _SAMPLED_IMPRESSIONS // model.schema.max_candidates
    every = -(-num_requests // max(wanted, _SAMPLED_REQUESTS))
    sample = read_batches(
        data_dir, TRAIN, config.batch_size, schema=model.schema, every=every
    )
    model.adapt(tqdm.tqdm(sample, "adapting", disable=not config.progress))
