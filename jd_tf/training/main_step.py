"""Main steps: every objective at once, alone or with a fusion beside."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from jd_tf.columns import SchemaError
from jd_tf.losses.listwise_losses import listwise_losses
from jd_tf.losses.multi_objective import cell_weights, objective_losses
from jd_tf.training.balancing.loss_balancers import LossBalancer
from jd_tf.training.fusion.fusion_step import FusionStep
from jd_tf.training.gradients import gradient_norms, shared_norms
from jd_tf.training.loop.loss_scale import LossScale
from jd_tf.training.loop.training_step import Batch, Rows, TrainingStep
from jd_tf.training.named_variables import (
    checkpoint_variables,
    optimizer_variables,
    trained_variables,
)
from jd_tf.training.sparse_dense_optimizer import SparseDenseOptimizer
from jd_tf.training.weight_average import WeightAverage

# Steps to one whose task gradient norms are only reported.
_NORMS_EVERY = 10


class MainStep(TrainingStep):
    """One optimisation step of a model, without its fusion.

    A row has the `loss` that was minimised; (T,) mean `losses`, their
    `sample_weight_sums`, the `loss_weights` the balancer chose and the
    `task_gradient_norms`, of each weighted loss by what all objectives share
    (zeros where the model does not return it, and at nine of ten steps where
    the balancer does not need them, for they cost 4 % of a step); the (V,)
    `gradient_norms` of the trainable variables; and the `impressions`, real
    candidates.

    Args:
        model: a `RankingModel`; `fusion_variables` are not trained.
        optimizer: built here on what is trained: the model's variables, but
            for those of a fusion, and what the balancer learns by gradient.
        balancer: of the T objectives.
        average: of the model's weights; None for none.
        listwise_weight: of `listwise_losses`, added to the losses; 0: none.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: SparseDenseOptimizer,
        balancer: LossBalancer,
        average: WeightAverage | None = None,
        listwise_weight: float = 0.0,
    ):
        self.model = model
        self.optimizer = optimizer
        self.balancer = balancer
        self.average = average
        self.listwise_weight = listwise_weight
        self.loss_scale = LossScale(model)
        amounts = model.schema.amount_names
        self.amount_scales = model.amount_scales if amounts else ()
        self.variables = trained_variables(model)
        # Its variances are no weights: nothing should draw them to 0.
        optimizer.exclude_from_weight_decay(balancer.trainable_variables)
        self.variables += balancer.trainable_variables
        optimizer.build(self.variables)
        names = balancer.objective_names
        per_objective = tf.TensorSpec((len(names),))
        self.row_spec = {
            "loss": tf.TensorSpec(()),
            "losses": per_objective,
            "sample_weight_sums": per_objective,
            "loss_weights": per_objective,
            "task_gradient_norms": per_objective,
            "gradient_norms": tf.TensorSpec((len(self.variables),)),
            "impressions": tf.TensorSpec((), tf.int32),
        }
        self.checked = {
            "losses": [f"the loss of objective `{name}`" for name in names],
            "loss": ["the total loss"],
            "gradient_norms": [
                f"the norm of the gradient of `{v.path}`"
                for v in self.variables
            ],
        }

    def __call__(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Trains on one batch with labels; inside a `tf.function` or not.

        Raises:
            SchemaError: the balancer needs the task gradient norms, and the
                model does not return what the objectives share.
        """
        counted = cell_weights(batch)
        # More than one gradient is taken; in a graph it costs no memory.
        with tf.GradientTape(persistent=True) as tape:
            outputs = self.model.training_outputs(batch)
            cells = batch["labels"], outputs["logits"], counted
            losses, weight_sums = objective_losses(*cells, self.amount_scales)
            if self.listwise_weight:
                of_lists = listwise_losses(*cells, self.amount_scales)
                losses += self.listwise_weight * of_lists
            each = tf.unstack(self.loss_scale.scaled(losses))
            weights = self.balancer.weights(losses, weight_sums)
            total = self.balancer.total(losses, weight_sums, weights)
            if self.model.losses:
                more = [tf.cast(part, tf.float32) for part in self.model.losses]
                total += tf.add_n(more)
            scaled_total = self.loss_scale.scaled(total)
        gradients = self.optimizer.prepare(
            tape.gradient(scaled_total, self.variables), self.variables
        )
        gradients = self.loss_scale.unscaled(gradients)
        norms = self._task_norms(tape, each, outputs.get("shared"))
        (norms,) = self.loss_scale.unscaled([norms])
        all_norms = gradient_norms(gradients)

        def take() -> tf.Tensor:
            self.balancer.observe(losses, weight_sums, norms)
            if self.average is not None:
                averaged = gradients[: len(self.average.weights)]
                self.average.follow(averaged, self.optimizer.iterations.value)
            # Keras would warn of weights that no objective reaches.
            pairs = zip(gradients, self.variables, strict=True)
            self.optimizer.apply_gradients(
                (g, v) for g, v in pairs if g is not None
            )
            return tf.constant(True)

        if self.loss_scale.active:
            overflowed = self.loss_scale.overflowed(all_norms)
            tf.cond(overflowed, lambda: tf.constant(False), take)
            self.loss_scale.update(overflowed)
            all_norms = tf.where(overflowed, 0.0, all_norms)
            norms = tf.where(overflowed, 0.0, norms)
        else:
            take()
        return {
            "loss": total,
            "losses": losses,
            "sample_weight_sums": weight_sums,
            "loss_weights": weights,
            "task_gradient_norms": weights * norms,
            "gradient_norms": all_norms,
            "impressions": tf.reduce_sum(batch["num_candidates"]),
        }

    def _task_norms(
        self,
        tape: tf.GradientTape,
        losses: Sequence[tf.Tensor],
        shared: tf.Tensor | None,
    ) -> tf.Tensor:
        """Returns norms (T,) of the losses' gradients by what they share."""
        zeros = tf.zeros(len(losses))
        if shared is not None:
            if self.balancer.needs_norms or tf.executing_eagerly():
                return shared_norms(tape, losses, shared)
            return tf.cond(
                tf.equal(self.optimizer.iterations.value % _NORMS_EVERY, 0),
                lambda: shared_norms(tape, losses, shared),
                lambda: zeros,
            )
        if self.balancer.needs_norms:
            raise SchemaError(
                f"{type(self.balancer).__name__} needs the gradient norm of "
                f"each objective, but `{self.model.name}` returns no `shared` "
                "activation while training. Balance in another way."
            )
        return zeros

    def named_variables(self) -> dict[str, tf.Variable]:
        """Returns every variable of model, optimizer, balancer, average."""
        balancer = self.balancer
        named = checkpoint_variables(self.model)
        if self.average is not None:
            named |= self.average.named_variables()
        for name, v in optimizer_variables(self.model, self.optimizer).items():
            named[f"optimizer/{name}"] = v
        for name, v in balancer.variables.items():
            named[f"balancer/{name}"] = v
        for index, v in enumerate(balancer.trainable_variables):
            named[f"balancer/trainable/{index}"] = v.value
        return named | self.loss_scale.named_variables()

    def summands(self, rows: Rows) -> dict[str, np.ndarray]:
        """Returns losses, weights and shares, most of them [K, T]."""
        norms = rows["gradient_norms"].astype("float64")
        weighted = rows["losses"] * rows["loss_weights"]
        present = rows["sample_weight_sums"] > 0
        return {
            "loss": rows["loss"],
            "gradient_norm": (norms**2).sum(axis=1) ** 0.5,
            "losses": np.where(present, rows["losses"], 0.0),
            "present": present,
            "loss_weights": rows["loss_weights"],
            "loss_shares": _shares(weighted),
            "gradient_shares": _shares(rows["task_gradient_norms"]),
            "measured": rows["task_gradient_norms"].any(axis=1),
            "impressions": rows["impressions"],
        }

    def history_row(self, sums: Mapping[str, Any]) -> dict[str, Any]:
        """Returns means over the steps, rates, and shares of the time.

        `loss/<objective>` is None without a sample in all these steps.
        """
        steps, seconds = sums["steps"], max(sums["seconds"], 1e-9)
        row = {
            "loss": sums["loss"] / steps,
            "gradient_norm": sums["gradient_norm"] / steps,
            "impressions_per_second": sums["impressions"] / seconds,
            "input_wait_share": sums["waits"] / seconds,
            "learning_rate": float(self.optimizer.learning_rate),
            "table_learning_rate": float(self.optimizer.table_learning_rate),
        }
        means = {
            "balance": (sums["loss_weights"], steps),
            "loss_share": (sums["loss_shares"], steps),
        }
        if sums["measured"]:
            measured = sums["gradient_shares"], sums["measured"]
            means["gradient_share"] = measured
        for index, name in enumerate(self.balancer.objective_names):
            loss, present = sums["losses"][index], sums["present"][index]
            row[f"loss/{name}"] = loss / present if present else None
            for kind, (totals, count) in means.items():
                row[f"{kind}/{name}"] = totals[index] / count
        return row


class AlternatingStep(TrainingStep):
    """A main step, and after every so many of them a fusion step.

    A row is that of both; that of the fusion is zeros where none was due.
    Both steps are of the same model.
    """

    def __init__(self, main: MainStep, fusion: FusionStep, every: int):
        self.model = main.model
        self.average = main.average
        self.main = main
        self.fusion = fusion
        self.every = every
        self.row_spec = {**main.row_spec, **fusion.row_spec}
        self.checked = {**main.checked, **fusion.checked}

    def __call__(self, batch: Batch) -> dict[str, tf.Tensor]:
        # Of the whole run, so that a resumed one alternates as it would
        # have: a checkpoint holds it.
        before = tf.identity(self.main.optimizer.iterations.value)
        row = self.main(batch)
        due = tf.equal((before + 1) % self.every, 0)
        fusion = tf.cond(due, lambda: self.fusion(batch), self.fusion.no_step)
        return {**row, **fusion}

    def named_variables(self) -> dict[str, tf.Variable]:
        """Returns every variable of either step."""
        return {**self.main.named_variables(), **self.fusion.named_variables()}

    def summands(self, rows: Rows) -> dict[str, np.ndarray]:
        """Returns those of both steps."""
        return {**self.main.summands(rows), **self.fusion.summands(rows)}

    def history_row(self, sums: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the entries of both steps."""
        return {**self.main.history_row(sums), **self.fusion.history_row(sums)}


def _shares(amounts: np.ndarray) -> np.ndarray:
    """Returns [K, T] numbers >= 0 as shares of their row; 0 without any."""
    amounts = amounts.astype("float64")
    totals = amounts.sum(axis=1, keepdims=True)
    return np.divide(
        amounts, totals, out=np.zeros_like(amounts), where=totals > 0
    )
