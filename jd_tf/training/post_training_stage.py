"""After the main training: curves from validation data, then the fusion."""

import dataclasses
import shutil
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from jd_tf.losses.multi_objective import cell_weights
from jd_tf.schema import DataError
from jd_tf.training.calibration_fit import fit_curves
from jd_tf.training.checkpoints import Checkpoints
from jd_tf.training.config import TrainingConfig
from jd_tf.training.fusion.fusion_step import FusionStep
from jd_tf.training.loop.stop_signals import StopSignals
from jd_tf.training.loop.trainer import Trainer
from jd_tf.training.loop.training_state import TrainingState
from jd_tf.training.named_variables import post_training_variables
from jd_tf.training.post_training_checkpoints import (
    POST_TRAINING,
    read_post_training,
)

# Share of a pass that a fusion needs to get used to calibrated logits.
_SETTLING_SHARE = 10


def num_fusion_steps(
    config: TrainingConfig, steps_per_epoch: int, calibrates: bool
) -> int:
    """Fusion steps to take after the main training.

    Args:
        config: of the run.
        steps_per_epoch: batches of a pass over the data.
        calibrates: whether the ranker has curves.
    """
    if config.fusion_steps:
        return config.fusion_steps
    if not config.fusion_every:
        return steps_per_epoch
    return -(-steps_per_epoch // _SETTLING_SHARE) if calibrates else 0


def run_post_training(
    main: Trainer,
    model: keras.Model,
    fusion: FusionStep | None,
    validation_batches: Callable[[], tf.data.Dataset],
    steps_per_epoch: int,
) -> int:
    """Fits what stands on a trained main network, and changes none of it.

    It starts from the checkpoint of the best evaluation: curves are fitted
    on validation data and put into the model; then fusion steps run over the
    training data. During the main training the curves are the identity,
    whatever the alternation: refitting them at each evaluation would have
    the fusion read logits that jump, and a resumed run would have to
    evaluate where the first one did. Curves and fusion have a few hundred
    numbers; they are kept in checkpoints of their own, together with the
    fusion's optimizer, and a killed stage ends like an uninterrupted one. If
    the main network trains on later, the stage is done anew.

    Args:
        main: trainer of the main network; its `train` has returned.
        model: of the run; has the result afterwards.
        fusion: the step of its fusion, None where no fusion learns.
        validation_batches: () -> a pass over the validation data.
        steps_per_epoch: batches of a pass over the training data.

    Returns:
        Number of the signal that stopped it, else 0.

    Raises:
        DataError: a checkpoint is damaged, or there is no data.
        NotFiniteError: the fusion's loss or gradient is not finite.
    """
    calibrates = model.calibration is not None
    num_steps = num_fusion_steps(main.config, steps_per_epoch, calibrates)
    if not calibrates and (fusion is None or not num_steps):
        return 0
    with StopSignals() as signals:
        _begin(main, model, fusion, validation_batches)
    if signals.received or fusion is None or not num_steps:
        return signals.received
    config = dataclasses.replace(
        main.config,
        # Each pass has a step at least.
        epochs=num_steps,
        max_steps=num_steps,
        evaluate_every=0,
        patience=0,
        time_limit_seconds=0.0,
        keep_checkpoints=1,
    )
    trainer = Trainer(
        fusion,
        config,
        main.workdir,
        main.train_batches,
        checkpoints=POST_TRAINING,
    )
    trainer.train()
    return trainer.signal


def _begin(
    main: Trainer,
    model: keras.Model,
    fusion: FusionStep | None,
    validation_batches: Callable[[], tf.data.Dataset],
) -> None:
    """Restores the main network at its best and, if any, what stands on it.

    Otherwise fits curves and writes the checkpoint the fusion starts from.
    """
    main_step, best = main.state.step, main.state.best_step
    base = main_step if best < 0 else best
    whole = {
        name: variable
        for name, variable in main.step_fn.named_variables().items()
        if name.startswith(("model/", "fusion_optimizer/"))
    }
    main.checkpoints.restore(base, whole)
    variables = post_training_variables(model)
    if fusion is not None:
        variables = fusion.named_variables()
    checkpoints = Checkpoints(main.workdir / POST_TRAINING)
    checkpoints.recover()
    found = read_post_training(main.workdir, main_step, base)
    if found is not None:
        checkpoints.restore(found.step, variables)
        return
    if checkpoints.folder.exists():
        shutil.rmtree(checkpoints.folder)
    state = TrainingState(main_step=main_step, base_step=base)
    if model.calibration is not None:
        batches = validation_batches()
        state.curves = _calibrate(model, batches, main.config)
    checkpoints.write(0, variables, state.to_json())


def _calibrate(
    model: keras.Model, batches: tf.data.Dataset, config: TrainingConfig
) -> dict[str, Any]:
    """Fits the model's curves; returns facts on each objective's curve."""
    logits, labels, weights = _real_candidates(model, batches)
    method, num_knots = config.calibration_method, model.calibration.num_knots
    curves = fit_curves(logits, labels, weights, method, num_knots)
    model.calibration.assign_curves([curve.knots for curve in curves])
    return {
        name: {
            "num_impressions": int(curve.num_impressions),
            "num_positives": int(curve.num_positives),
            "num_knots": len(curve.knots[0]),
            "note": curve.note,
        }
        for name, curve in zip(
            model.schema.objective_names, curves, strict=True
        )
    }


def _real_candidates(
    model: keras.Model, batches: tf.data.Dataset
) -> tuple[np.ndarray, ...]:
    """Logits, labels and weights of real candidates, each [M, T]."""

    @tf.function(reduce_retracing=True, autograph=False)
    def predict(batch: dict[str, tf.Tensor]) -> tuple:
        logits = model(batch, training=False)["logits"]
        lengths, width = batch["num_candidates"], tf.shape(logits)[1]
        real = tf.sequence_mask(lengths, width)
        parts = (logits, batch["labels"], cell_weights(batch))
        return tuple(tf.boolean_mask(part, real) for part in parts)

    found = [[part.numpy() for part in predict(batch)] for batch in batches]
    if not found:
        raise DataError("the validation split has no request to fit on.")
    return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))
