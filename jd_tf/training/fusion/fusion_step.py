"""Fusion steps: weights learn from the main network, which learns nothing."""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from jd_tf.training.fusion.fusion_loss import FusionLoss
from jd_tf.training.gradients import gradient_norms
from jd_tf.training.loop.training_step import Batch, TrainingStep
from jd_tf.training.named_variables import (
    optimizer_variables,
    post_training_variables,
)
from jd_tf.training.sparse_dense_optimizer import SparseDenseOptimizer


class FusionStep(TrainingStep):
    """One optimisation step of a fusion alone.

    A row has the loss (0 where no request counted), the joint norm of the
    gradients, the requests that counted, those of one outcome only, and the
    batch's mean fusion weights (T,).

    Args:
        model: a `RankingModel` with a fusion that learns.
        optimizer: of the fusion alone; built on its variables here.
        loss: compares scores and gains.
    """

    name = "fusion"
    remedy = "Lower `fusion_learning_rate`"

    def __init__(
        self,
        model: keras.Model,
        optimizer: SparseDenseOptimizer,
        loss: FusionLoss,
    ):
        self.model = model
        self.optimizer = optimizer
        self.loss = loss
        self.variables = [v for v in model.fusion_variables if v.trainable]
        optimizer.build(self.variables)
        self.checked = {
            "fusion_loss": ["the fusion's loss"],
            "fusion_gradient_norm": ["the norm of the fusion's gradient"],
        }
        self.row_spec = {
            "fusion_loss": tf.TensorSpec(()),
            "fusion_requests_used": tf.TensorSpec((), tf.int32),
            "fusion_requests_skipped": tf.TensorSpec((), tf.int32),
            "fusion_weights": tf.TensorSpec((model.fusion.num_objectives,)),
            "fusion_gradient_norm": tf.TensorSpec(()),
            "fusion_steps": tf.TensorSpec((), tf.int32),
        }

    def __call__(self, batch: Batch) -> dict[str, tf.Tensor]:
        # Outside the tape: a second wall behind the model's stop_gradient,
        # and no dropout, statistic or random state of training is involved.
        logits, features = self.model.fusion_inputs(batch)
        values = [variable.value for variable in self.variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            score, weights = self.model.fusion(logits, features)
            found = self.loss(batch, self.model.fusion.list_logits(score))
        gradients = tape.gradient(found.total, values)
        # Keras would warn of weights that no candidate's score depends on.
        pairs = zip(gradients, self.variables, strict=True)
        self.optimizer.apply_gradients(
            (g, v) for g, v in pairs if g is not None
        )
        mean_weights = tf.reduce_mean(tf.cast(weights, tf.float32), axis=0)
        return {
            "fusion_loss": found.total,
            "fusion_requests_used": found.num_used,
            "fusion_requests_skipped": found.num_skipped,
            "fusion_weights": mean_weights,
            "fusion_gradient_norm": tf.norm(gradient_norms(gradients)),
            "fusion_steps": tf.constant(1),
        }

    def no_step(self) -> dict[str, tf.Tensor]:
        """Returns the row of a step that was not taken: zeros."""
        specs = self.row_spec.items()
        return {name: tf.zeros(spec.shape, spec.dtype) for name, spec in specs}

    def optimizer_variables(self) -> dict[str, tf.Variable]:
        """Returns the fusion optimizer's variables, by name."""
        named = optimizer_variables(self.model, self.optimizer)
        return {f"fusion_optimizer/{n}": v for n, v in named.items()}

    def named_variables(self) -> dict[str, tf.Variable]:
        """Returns curves, fusion and the fusion's optimizer, by name."""
        return post_training_variables(self.model) | self.optimizer_variables()

    def history_row(self, sums: Mapping[str, Any]) -> dict[str, Any]:
        """Returns sums of requests, and means over the steps taken.

        Means are None if no step was due.
        """
        steps = sums["fusion_steps"]
        names = ("fusion_loss", "fusion_gradient_norm")
        totals = {name: sums[name] for name in names}
        objectives = self.model.schema.objective_names
        for name, weight in zip(
            objectives, sums["fusion_weights"], strict=True
        ):
            totals[f"fusion_weight/{name}"] = weight
        counts = ("fusion_requests_used", "fusion_requests_skipped")
        return {
            **{n: t / steps if steps else None for n, t in totals.items()},
            **{name: sums[name] for name in counts},
        }
