"""After the main training: trees, calibration curves, then the fusion."""

import dataclasses
import shutil
from typing import Any

import numpy as np
from absl import logging

from jd_tf.metrics.amount_metrics import amount_ratio
from jd_tf.training.calibration_fit import fit_curves, held_out_ratios
from jd_tf.training.checkpoints import Checkpoints
from jd_tf.training.config import TrainingConfig
from jd_tf.training.fusion.fusion_step import FusionStep
from jd_tf.training.loop.stop_signals import StopSignals
from jd_tf.training.loop.trainer import BEST, Trainer
from jd_tf.training.loop.training_state import TrainingState
from jd_tf.training.named_variables import post_training_variables
from jd_tf.training.tree_fit import fit_trees
from jd_tf.training.validator import Validator
from jd_tf.training.workdir import POST_TRAINING, read_post_training

# Bounds of predicted over observed, given so many positives.
_LOW, _HIGH, _ENOUGH = 0.9, 1.1, 400
# Share of a pass that a fusion needs to get used to other logits.
_SETTLING_SHARE = 10


def num_fusion_steps(
    config: TrainingConfig, steps_per_epoch: int, calibrates: bool
) -> int:
    """Returns how many fusion steps to take after the main training."""
    if config.fusion_steps:
        return config.fusion_steps
    if not config.fusion_every:
        return steps_per_epoch
    # Beside the main steps it met neither curves nor averaged weights.
    other = calibrates or config.ema_decay
    return -(-steps_per_epoch // _SETTLING_SHARE) if other else 0


def run_post_training(
    main: Trainer,
    fusion: FusionStep | None,
    validator: Validator,
    steps_per_epoch: int,
) -> int:
    """Fits what stands on a trained main network, and changes none of it.

    It starts from the checkpoint of the best evaluation: trees are fitted on
    the training data, curves on the validation data, and put into the model;
    then fusion steps run over the
    training data. During the main training the curves are the identity:
    refitting them at each evaluation would have the fusion read logits that
    jump. Curves and fusion are kept in checkpoints of their own, together
    with the fusion's optimizer, and a killed stage ends like an uninterrupted
    one. If the main network trains on later, the stage is done anew.

    Returns:
        Number of the signal that stopped it, else 0.

    Raises:
        DataError: a checkpoint is damaged, or there is no data.
        NotFiniteError: the fusion's loss or gradient is not finite.
    """
    model = validator.model
    calibrates = model.calibration is not None or model.trees is not None
    num_steps = num_fusion_steps(main.config, steps_per_epoch, calibrates)
    if not calibrates and (fusion is None or not num_steps):
        return 0
    with StopSignals() as signals:
        _begin(main, fusion, validator)
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
    workdir, batches = main.workdir, main.train_batches
    trainer = Trainer(
        fusion, config, workdir, batches, checkpoints_folder=POST_TRAINING
    )
    trainer.train()
    return trainer.signal


def _begin(
    main: Trainer, fusion: FusionStep | None, validator: Validator
) -> None:
    """Restores the main network at its best and, if any, what stands on it.

    Otherwise fits curves and writes the checkpoint the fusion starts from.
    """
    main_step, best = main.state.step, main.state.best_step
    base = main_step if best < 0 else best
    named, model = main.step_fn.named_variables(), validator.model
    kept = (*BEST, "fusion_optimizer/")
    whole = {n: v for n, v in named.items() if n.startswith(kept)}
    main.checkpoints.restore(base, whole)
    if main.step_fn.average:
        main.step_fn.average.apply()
    variables = (
        fusion.named_variables() if fusion else post_training_variables(model)
    )
    checkpoints = Checkpoints(main.workdir / POST_TRAINING)
    checkpoints.recover()
    found = read_post_training(main.workdir, main_step, base)
    if found is not None:
        checkpoints.restore(found.step, variables)
        return
    if checkpoints.folder.exists():
        shutil.rmtree(checkpoints.folder)
    state = TrainingState(main_step=main_step, base_step=base)
    if model.trees is not None:
        fit_trees(model, main.train_batches(0, 0), validator, main.config)
    if model.calibration is not None:
        state.curves = _calibrate(validator, main.config)
    checkpoints.write(0, variables, state.to_json())


def _calibrate(validator: Validator, config: TrainingConfig) -> dict[str, Any]:
    """Fits the model's curves; returns facts on each objective's curve."""
    calibration = validator.model.calibration
    names = validator.model.schema.outcome_names
    *found, _ = validator.predictions()
    if validator.model.schema.amount_names:
        amounts = (part[:, len(names) :] for part in found)
        _calibrate_amounts(validator.model, *amounts)
    logits, labels, weights = (part[:, : len(names)] for part in found)
    cells = logits, labels, weights
    method, num_knots = config.calibration_method, calibration.num_knots
    curves = fit_curves(*cells, method, num_knots)
    calibration.assign_curves([curve.knots for curve in curves])
    ratios = held_out_ratios(*cells, method, num_knots)
    for name, (ratio, positives) in zip(names, ratios, strict=True):
        if positives >= _ENOUGH and not _LOW <= ratio <= _HIGH:
            logging.warning(
                "calibration of `%s`: predicted over observed is %.2f on the "
                "half of the validation split that curves were not fitted on.",
                name,
                ratio,
            )
    return {
        name: {
            "num_impressions": int(curve.num_impressions),
            "num_positives": int(curve.num_positives),
            "num_knots": len(curve.knots[0]),
            "note": curve.note,
            "held_out_ratio": None if np.isnan(ratio) else ratio,
        }
        for name, curve, (ratio, _) in zip(names, curves, ratios, strict=True)
    }


def _calibrate_amounts(
    model: Any, logits: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> None:
    """Multiplies units of amounts by observed over predicted, of [M, A]."""
    scales = np.array(model.amount_scales)
    for index, unit in enumerate(scales):
        inside = weights[:, index] > 0
        logit, label, weight = (
            part[inside, index] for part in (logits, labels, weights)
        )
        found = amount_ratio(unit * np.exp(logit), label, weight)
        if found > 0:
            scales[index] /= found
    model.amount_scales.assign(scales)
