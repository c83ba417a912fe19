"""Validation while training: loss and AUC of each objective."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from jd_tf.losses.multi_objective import cell_weights, objective_losses
from jd_tf.metrics.ranking_metrics import auc
from jd_tf.schema import DataError


class Validator:
    """Loss and AUC per objective on a fixed data set.

    Candidates are scored as they will be served: without bias tower and
    dropout.

    Args:
        model: a `RankingModel`.
        batches: () -> a pass over the validation batches.
    """

    def __init__(
        self, model: keras.Model, batches: Callable[[], tf.data.Dataset]
    ):
        self.model = model
        self.batches = batches
        self._evaluate = tf.function(
            self._evaluate_batch, reduce_retracing=True, autograph=False
        )

    def __call__(self) -> dict[str, float | None]:
        """Returns `loss/<objective>`, `auc/<objective>` and `loss`, `auc`.

        `loss` is a sum, `auc` a mean over objectives. None where there is no
        sample, or only one class.
        """
        losses, sums, *cells = self._results()
        weight_sums = np.sum(sums, axis=0, dtype="float64")
        weighted = np.multiply(losses, sums, dtype="float64").sum(axis=0)
        logits, labels, weights = cells
        metrics: dict[str, float | None] = {}
        aucs: dict[str, float | None] = {}
        for index, name in enumerate(self.model.schema.objective_names):
            known = weight_sums[index] > 0
            metrics[f"loss/{name}"] = (
                float(weighted[index] / weight_sums[index]) if known else None
            )
            inside = weights[:, index] > 0
            columns = (a[inside, index] for a in (logits, labels, weights))
            value = auc(*columns)
            aucs[f"auc/{name}"] = None if np.isnan(value) else float(value)
        # Not by `sum`, which rounds otherwise from Python 3.12 on.
        total = 0.0
        for loss in metrics.values():
            total += loss or 0.0
        known_aucs = [value for value in aucs.values() if value is not None]
        mean = float(np.mean(known_aucs)) if known_aucs else None
        return {"loss": total, **metrics, **aucs, "auc": mean}

    def predictions(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns logits, labels and weights of all cells, each [M, T].

        Raises:
            DataError: there is no request.
        """
        _, _, logits, labels, weights = self._results()
        return logits, labels, weights

    def _results(self) -> list[np.ndarray]:
        """Returns the results of all batches, one under another."""
        found = [
            [part.numpy() for part in self._evaluate(batch)]
            for batch in self.batches()
        ]
        if not found:
            raise DataError("the validation split has no request.")
        return [
            np.concatenate([part.reshape(-1, part.shape[-1]) for part in parts])
            for parts in zip(*found, strict=True)
        ]

    def _evaluate_batch(self, batch: dict[str, tf.Tensor]) -> tuple:
        weights = cell_weights(batch)
        logits = self.model(batch, training=False)["logits"]
        losses, sums = objective_losses(batch["labels"], logits, weights)
        return losses, sums, logits, batch["labels"], weights
