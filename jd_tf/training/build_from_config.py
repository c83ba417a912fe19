"""A training config to the objects it names."""

from collections.abc import Sequence
from typing import Any

import keras

from jd_tf.schema import Schema, SchemaError
from jd_tf.training.balancing.grad_norm import GradNorm
from jd_tf.training.balancing.loss_balancer import LossBalancer
from jd_tf.training.balancing.running_magnitude import RunningMagnitude
from jd_tf.training.balancing.uncertainty import Uncertainty
from jd_tf.training.config import TrainingConfig
from jd_tf.training.fusion.fusion_loss import FusionLoss
from jd_tf.training.fusion.fusion_step import FusionSteps
from jd_tf.training.sparse_dense_optimizer import SparseDenseOptimizer

# A cosine that ends where it starts, this late, is a constant.
_FOREVER = 1_000_000_000


def build_schedule(rate: float, config: TrainingConfig) -> Any:
    """A learning rate with the config's warm-up and decay.

    Args:
        rate: the rate between warm-up and decay.
        config: of the run.

    Returns:
        The rate itself if there is neither, else a Keras schedule.
    """
    if not (config.warmup_steps or config.decay_steps):
        return float(rate)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if config.warmup_steps else float(rate),
        warmup_target=float(rate) if config.warmup_steps else None,
        warmup_steps=config.warmup_steps,
        decay_steps=config.decay_steps or _FOREVER,
        alpha=config.final_rate if config.decay_steps else 1.0,
    )


def build_optimizer(config: TrainingConfig) -> SparseDenseOptimizer:
    """The optimizer of a run."""
    return SparseDenseOptimizer(
        build_schedule(config.learning_rate, config),
        build_schedule(config.table_learning_rate, config),
        config.table_method,
        weight_decay=config.weight_decay or None,
        global_clipnorm=config.max_gradient_norm or None,
    )


def build_balancer(
    config: TrainingConfig, objective_names: Sequence[str]
) -> LossBalancer:
    """The balancer of a run."""
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
) -> FusionSteps | None:
    """The fusion steps of a run, None where no fusion learns.

    Args:
        config: of the run.
        model: built; may have a `fusion`.

    Raises:
        SchemaError: if the loss wants a reward the schema does not have, or
            another number of values than there are objectives.
    """
    learns = any(v.trainable for v in getattr(model, "fusion_variables", ()))
    if not learns:
        return None
    loss = FusionLoss(
        _fusion_values(config, model.schema),
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
    return FusionSteps(model, optimizer, loss, config.fusion_every)


def _fusion_values(
    config: TrainingConfig, schema: Schema
) -> tuple[float, ...] | Schema:
    names, values = schema.objective_names, config.fusion_values
    if values and len(values) != len(names):
        raise SchemaError(
            f"`fusion_values` must be {len(names)} numbers, one for each of "
            f"{', '.join(names)}. Got: {values}."
        )
    return values or schema
