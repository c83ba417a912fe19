"""Training steps of a two-tower model."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from jd_tf.losses.retrieval_softmax import retrieval_softmax
from jd_tf.training.gradients import gradient_norms
from jd_tf.training.loop.training_step import Batch, TrainingStep
from jd_tf.training.named_variables import (
    checkpoint_variables,
    optimizer_variables,
    trained_variables,
)
from jd_tf.training.retrieval.timelines import TARGETS
from jd_tf.training.sparse_dense_optimizer import SparseDenseOptimizer
from jd_tf.training.weight_average import WeightAverage


class RetrievalStep(TrainingStep):
    """One optimisation step: every place of every timeline predicts its next.

    Up to `softmax.max_full_items` items the softmax is over the catalogue.
    Above, its candidates are the targets of the batch and items drawn
    uniformly, each once: a target can then not be its own negative. Draws
    depend on the seed and the number of the step, so that a resumed run
    repeats them.

    A row has the `loss`, the (V,) `gradient_norms` of the trained variables
    and the `impressions`, that is places with a target.

    Args:
        model: a `TwoTower`.
        optimizer: built here on the model's variables.
        catalogue: candidate columns (I, ...) of all items, `item_id` ascending.
        frequencies: (I,) how often each is a target of the training data.
        seed: of the draws.
        average: of the model's weights; None for none.
    """

    def __init__(
        self,
        model: Any,
        optimizer: SparseDenseOptimizer,
        catalogue: Mapping[str, np.ndarray],
        frequencies: np.ndarray,
        seed: int = 0,
        average: WeightAverage | None = None,
    ):
        self.model = model
        self.optimizer = optimizer
        self.average = average
        self.config = model.config.softmax
        self.seed = seed
        self.variables = trained_variables(model)
        optimizer.build(self.variables)
        self._columns = item_tensors(model, catalogue)
        self._size = len(catalogue["item_id"])
        chance = frequencies / max(frequencies.sum(), 1)
        # Of not being a target of a place, and of not being a uniform draw.
        self._log_missed = tf.constant(np.log1p(-chance), tf.float32)
        self._log_not_drawn = float(np.log1p(-1.0 / max(self._size, 2)))
        self.row_spec = {
            "loss": tf.TensorSpec(()),
            "gradient_norms": tf.TensorSpec((len(self.variables),)),
            "impressions": tf.TensorSpec((), tf.int32),
        }
        self.checked = {
            "loss": ["the loss"],
            "gradient_norms": [
                f"the norm of the gradient of `{v.path}`"
                for v in self.variables
            ],
        }

    def __call__(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Trains on one batch of `Timelines`, in a `tf.function` or not."""
        targets = batch[TARGETS]
        at = tf.where(targets >= 0)
        target = tf.gather_nd(targets, at)
        rows, place, log_q = self._candidates(target)
        removed = None
        if self.config.remove_own_items:
            removed = self._own_items(targets, at, rows, place)
        with tf.GradientTape() as tape:
            timelines = self.model.encode_timeline(batch, training=True)
            items = {
                name: column[tf.newaxis]
                if rows is None
                else tf.gather(column, rows)[tf.newaxis]
                for name, column in self._columns.items()
            }
            losses = retrieval_softmax(
                tf.gather_nd(timelines, at),
                self.model.encode_items(items)[0],
                place,
                removed,
                log_q,
            )
            count = tf.size(losses)
            loss = tf.math.divide_no_nan(
                tf.reduce_sum(losses), tf.cast(count, tf.float32)
            )
        gradients = self.optimizer.prepare(
            tape.gradient(loss, self.variables), self.variables
        )
        if self.average is not None:
            self.average.follow(gradients, self.optimizer.iterations.value)
        pairs = zip(gradients, self.variables, strict=True)
        self.optimizer.apply_gradients(
            (g, v) for g, v in pairs if g is not None
        )
        return {
            "loss": loss,
            "gradient_norms": gradient_norms(gradients),
            "impressions": count,
        }

    def named_variables(self) -> dict[str, tf.Variable]:
        """Returns every variable of model, optimizer and average."""
        named = checkpoint_variables(self.model)
        if self.average is not None:
            named |= self.average.named_variables()
        for name, v in optimizer_variables(self.model, self.optimizer).items():
            named[f"optimizer/{name}"] = v
        return named

    def history_row(self, sums: Mapping[str, Any]) -> dict[str, Any]:
        """Returns means over the steps, rates and places a second."""
        steps, seconds = sums["steps"], max(sums["seconds"], 1e-9)
        return {
            "loss": sums["loss"] / steps,
            "impressions_per_second": sums["impressions"] / seconds,
            "input_wait_share": sums["waits"] / seconds,
            "learning_rate": float(self.optimizer.learning_rate),
        }

    def _candidates(self, target: tf.Tensor) -> tuple:
        """Returns rows (C,) of the catalogue, targets' places and log q.

        Without draws, rows and log q are None: all of the catalogue.
        """
        if self._size <= self.config.max_full_items:
            return None, target, None
        drawn = tf.random.stateless_uniform(
            (self.config.num_uniform,),
            tf.stack([self.seed, tf.cast(self._step(), tf.int32)]),
            0,
            self._size,
            tf.int32,
        )
        rows, place = tf.unique(tf.concat([target, drawn], axis=0))
        place = place[: tf.size(target)]
        if not self.config.use_log_q:
            return rows, place, None
        missed = tf.gather(self._log_missed, rows)
        missed *= tf.cast(tf.size(target), tf.float32)
        missed += self.config.num_uniform * self._log_not_drawn
        return rows, place, tf.math.log(-tf.math.expm1(missed))

    def _step(self) -> tf.Tensor:
        return tf.identity(self.optimizer.iterations.value)

    def _own_items(
        self,
        targets: tf.Tensor,
        at: tf.Tensor,
        rows: tf.Tensor | None,
        place: tf.Tensor,
    ) -> tf.Tensor:
        """Pairs places with other items of their timeline, (R, 2) int32.

        Args:
            targets: (B, L + 1), rows of the catalogue.
            at: (M, 2), which of them are predicted.
            rows: of `_candidates`.
            place: (M,), of each target among the candidates.
        """
        if rows is not None:
            known = tf.fill([self._size], -1)
            known = tf.tensor_scatter_nd_update(
                known, rows[:, tf.newaxis], tf.range(tf.size(rows))
            )
            # A timeline's item that is no candidate has no place.
            found = tf.gather(known, tf.maximum(targets, 0))
            targets = tf.where(targets >= 0, found, -1)
        own = tf.gather(targets, at[:, 0])
        others = tf.where((own >= 0) & (own != place[:, tf.newaxis]))
        items = tf.gather_nd(own, others)
        return tf.stack([tf.cast(others[:, 0], tf.int32), items], axis=1)


def item_tensors(
    model: Any, catalogue: Mapping[str, np.ndarray]
) -> dict[str, tf.Tensor]:
    """Returns the columns that the item tower reads, (I, ...) each."""
    return {
        name: tf.constant(
            catalogue[name].tolist()
            if catalogue[name].dtype == object
            else catalogue[name]
        )
        for name in model.item_columns
    }
