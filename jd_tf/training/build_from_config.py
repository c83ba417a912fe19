"""Builds the parts of a run from its `TrainingConfig`."""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from jd_tf.schema import SchemaError
from jd_tf.training.balancing.grad_norm import GradNorm
from jd_tf.training.balancing.loss_balancers import (
    LossBalancer,
    RunningMagnitude,
    Uncertainty,
)
from jd_tf.training.config import TrainingConfig
from jd_tf.training.fusion.fusion_loss import FusionLoss
from jd_tf.training.fusion.fusion_step import FusionStep
from jd_tf.training.fusion.isolation_check import check_isolation
from jd_tf.training.loop.trainer import TrainBatches, Trainer, Validate
from jd_tf.training.loop.training_step import TrainingStep
from jd_tf.training.main_step import AlternatingStep, MainStep
from jd_tf.training.sparse_dense_optimizer import SparseDenseOptimizer
from jd_tf.training.weight_average import WeightAverage
from jd_tf.training.workdir import check_workdir, read_state, write_workdir

# A cosine that ends where it starts, this late, is a constant.
_FOREVER = 1_000_000_000


class CosineFrom(keras.optimizers.schedules.CosineDecay):
    """A Keras schedule that begins at a later step."""

    start = 0

    def __call__(self, step: Any) -> Any:
        return super().__call__(keras.ops.maximum(step - self.start, 0))


def build_schedule(rate: float, config: TrainingConfig, start: int = 0) -> Any:
    """Returns a rate, or its schedule if it warms up or decays.

    Args:
        rate: the highest.
        config: of the run.
        start: step at which it begins.
    """
    if not (config.warmup_steps or config.decay_steps):
        return float(rate)
    schedule = CosineFrom(
        initial_learning_rate=0.0 if config.warmup_steps else float(rate),
        warmup_target=float(rate) if config.warmup_steps else None,
        warmup_steps=config.warmup_steps,
        decay_steps=config.decay_steps or _FOREVER,
        alpha=config.final_rate if config.decay_steps else 1.0,
    )
    schedule.start = start
    return schedule


def resolve_schedule(
    config: TrainingConfig, steps_per_epoch: int | None
) -> TrainingConfig:
    """Returns the config with the number of steps that `decay_steps` -1 is.

    Raises:
        SchemaError: the run's number of steps is not known, or warming up
            takes all of them.
    """
    if config.decay_steps >= 0:
        return config
    totals = [config.max_steps] if config.max_steps else []
    if steps_per_epoch:
        totals.append(config.epochs * steps_per_epoch)
    if not totals:
        raise SchemaError(
            "`decay_steps` is -1, but how many steps an epoch has is not "
            "known. Give a number of steps, or set `max_steps`."
        )
    if config.warmup_steps >= min(totals):
        raise SchemaError(
            f"`decay_steps` is -1, but `warmup_steps`, {config.warmup_steps}, "
            f"take all {min(totals)} steps of the run. Warm up for fewer."
        )
    steps = min(totals) - config.warmup_steps
    return dataclasses.replace(config, decay_steps=steps)


def build_optimizer(
    config: TrainingConfig, start: int = 0
) -> SparseDenseOptimizer:
    """Returns the optimizer of the main network; see `build_schedule`."""
    return SparseDenseOptimizer(
        build_schedule(config.learning_rate, config, start),
        build_schedule(config.table_learning_rate, config, start),
        config.table_method,
        weight_decay=config.weight_decay or None,
        global_clipnorm=config.max_gradient_norm or None,
    )


def build_balancer(
    config: TrainingConfig, objective_names: Sequence[str]
) -> LossBalancer:
    """Returns the balancer of a run."""
    names, weights = objective_names, config.objective_weights
    if config.balance == "running_magnitude":
        return RunningMagnitude(names, weights, config.balance_decay)
    if config.balance == "grad_norm":
        return GradNorm(names, weights, decay=config.balance_decay)
    if config.balance == "uncertainty":
        return Uncertainty(names, weights)
    return LossBalancer(names, weights)


def build_fusion(
    config: TrainingConfig, model: keras.Model
) -> FusionStep | None:
    """Returns the fusion step of a run, None where no fusion learns.

    Raises:
        SchemaError: if the loss wants a reward the schema does not have, or
            another number of values than there are objectives.
    """
    if not any(variable.trainable for variable in model.fusion_variables):
        return None
    names, values = model.schema.objective_names, config.fusion_values
    if values and len(values) != len(names):
        raise SchemaError(
            f"`fusion_values` must be {len(names)} numbers, one for each of "
            f"{', '.join(names)}. Got: {values}."
        )
    loss = FusionLoss(
        values or model.schema,
        reward=config.fusion_gain == "reward",
        kind=config.fusion_loss,
        request_weights=config.fusion_request_weights,
    )
    if loss.reward and not model.schema.reward:
        raise SchemaError(
            f"`fusion_gain` is reward, but schema `{model.schema.name}` has "
            "no column `reward`. Use value, or data that has one."
        )
    optimizer = SparseDenseOptimizer(
        config.fusion_learning_rate,
        global_clipnorm=config.max_gradient_norm or None,
        name="fusion_optimizer",
    )
    return FusionStep(model, optimizer, loss)


def build_main_step(
    config: TrainingConfig, model: keras.Model, start: int = 0
) -> MainStep:
    """Returns the step of the main network of a built model."""
    balancer = build_balancer(config, model.schema.objective_names)
    decay = config.ema_decay
    average = WeightAverage(model, decay) if decay else None
    optimizer = build_optimizer(config, start)
    return MainStep(model, optimizer, balancer, average, config.listwise_weight)


def build_trainer(
    config: TrainingConfig,
    model: keras.Model,
    workdir: str | Path,
    train_batches: TrainBatches,
    validate: Validate | None = None,
    fusion: FusionStep | None = None,
    steps_per_epoch: int | None = None,
    data: str = "",
    continue_on: bool = False,
) -> Trainer:
    """Returns the trainer of the main network, in the folder of this run.

    Where a fusion learns, each session first checks that it and the main
    network leave each other's variables alone. `data` and `continue_on` are
    those of `Trainer`. The folder is written once all else has been checked.

    Raises:
        DataError: the folder is that of another run or of other data, or
            `decay_steps` is -1 and the run's end not known.
    """
    config = resolve_schedule(config, steps_per_epoch)
    folder, start = Path(workdir), 0
    state = read_state(folder)
    if state is not None:
        moves = continue_on and state.data != data
        check_workdir(folder, model, config, moves)
        start = (state.on_other_data(data) if moves else state).first_step
    main = build_main_step(config, model, start)
    step_fn: TrainingStep = main
    check = None
    if fusion is not None:
        check = functools.partial(check_isolation, main, fusion)
        if config.fusion_every:
            step_fn = AlternatingStep(main, fusion, config.fusion_every)
    trainer = Trainer(
        step_fn,
        config,
        folder,
        train_batches,
        validate,
        steps_per_epoch,
        check,
        data=data,
        continue_on=continue_on,
    )
    trainer.resume()
    write_workdir(folder, model, config)
    return trainer
