"""Cheap metrics, often: is the model still getting better?"""

from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from jd_tf.training.losses import cell_weights, objective_losses

# (scores [M], labels [M], weights [M]) -> area under the ROC curve, or nan.
Auc = Callable[[np.ndarray, np.ndarray, np.ndarray], float]


class Validator:
    """Loss and AUC per objective on a fixed data set.

    Candidates are judged as they will be served: without bias tower and
    dropout.

    Args:
        model: `model(batch)["logits"]` are (B, N, T).
        batches: () -> a pass over the validation batches.
        objective_names: T names.
        auc: a function that computes it; None leaves AUC out.
    """

    def __init__(
        self,
        model: keras.Model,
        batches: Callable[[], tf.data.Dataset],
        objective_names: Sequence[str],
        auc: Auc | None = None,
    ):
        self.model = model
        self.batches = batches
        self.objective_names = tuple(objective_names)
        self.auc = auc
        self._judge = tf.function(
            self._judge_batch, reduce_retracing=True, autograph=False
        )

    def __call__(self) -> dict[str, float | None]:
        """Evaluates the model as it is.

        Returns:
            `loss/<objective>` and `auc/<objective>`; `loss`, the sum of the
            former, and `auc`, the mean of the latter. None where there is no
            sample, or only one class.
        """
        losses, masses, cells = [], [], []
        for batch in self.batches():
            loss, mass, logits, labels, weights = self._judge(batch)
            losses.append(loss.numpy())
            masses.append(mass.numpy())
            if self.auc is not None:
                part = (logits.numpy(), labels.numpy(), weights.numpy())
                cells.append([p.reshape(-1, p.shape[-1]) for p in part])
        mass = np.sum(masses, axis=0, dtype="float64")
        weighted = np.multiply(losses, masses, dtype="float64").sum(axis=0)
        metrics: dict[str, float | None] = {"loss": 0.0}
        for index, name in enumerate(self.objective_names):
            known = mass[index] > 0
            loss = float(weighted[index] / mass[index]) if known else None
            metrics[f"loss/{name}"] = loss
            metrics["loss"] += loss or 0.0
        if self.auc is not None:
            metrics |= self._aucs(cells)
        return metrics

    def _aucs(self, cells: list[list[np.ndarray]]) -> dict[str, float | None]:
        logits, labels, weights = (
            np.concatenate(parts) for parts in zip(*cells, strict=True)
        )
        metrics: dict[str, float | None] = {}
        for index, name in enumerate(self.objective_names):
            inside = weights[:, index] > 0
            value = self.auc(
                logits[inside, index],
                labels[inside, index],
                weights[inside, index],
            )
            metrics[f"auc/{name}"] = None if np.isnan(value) else float(value)
        known = [value for value in metrics.values() if value is not None]
        metrics["auc"] = float(np.mean(known)) if known else None
        return metrics

    def _judge_batch(self, batch: dict[str, tf.Tensor]) -> tuple:
        weights = cell_weights(batch)
        logits = self.model(batch, training=False)["logits"]
        losses, masses = objective_losses(batch["labels"], logits, weights)
        return losses, masses, logits, batch["labels"], weights
