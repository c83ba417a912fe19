"""Validation while training: how well each objective is predicted."""

from collections.abc import Callable

import keras
import numpy as np
import scipy.stats
import tensorflow as tf
from absl import logging

from jd_tf.data.batches import traced_once
from jd_tf.losses.multi_objective import cell_weights, objective_losses
from jd_tf.metrics.amount_metrics import constant_deviance, group_concordance
from jd_tf.metrics.ranking_metrics import (
    auc,
    group_auc,
    mean_defined,
    ndcg,
    ratio,
)
from jd_tf.models.blocks.score_head import request_values
from jd_tf.schema import DataError, SchemaError

_ENTROPY, VALUE_NDCG = "normalized_entropy", "value_ndcg@10"
# Metrics of every objective, and the mean of those that are defined.
_KINDS = ("loss", _ENTROPY, "auc", "gauc")


class Validator:
    """Metrics per objective on a fixed data set, and over all of them.

    Candidates are scored as they will be served: without bias tower and
    dropout; without calibration and fusion, too, which come later.

    Args:
        model: a `RankingModel`.
        batches: () -> a pass over the validation batches.
    """

    def __init__(
        self, model: keras.Model, batches: Callable[[], tf.data.Dataset]
    ):
        self.model = model
        self.batches = batches
        self._names = model.schema.objective_names
        self._evaluate = traced_once(self._evaluate_batch, batches())

    @property
    def metric_names(self) -> list[str]:
        """Names of what a call returns."""
        each = [f"{kind}/{n}" for kind in _KINDS for n in self._names]
        none = [f"auc/{name}" for name in self.model.schema.amount_names]
        each = [name for name in each if name not in none]
        return [*_KINDS, VALUE_NDCG, *each]

    def check_monitor(self, monitor: str) -> None:
        """Refuses a metric that the validation split leaves undefined.

        Reads labels until every objective has both outcomes; warns of those
        that have not.

        Raises:
            SchemaError: there is no such metric, or no label to compute it.
        """
        if monitor not in self.metric_names:
            raise SchemaError(
                f"`monitor` must be one of {', '.join(self.metric_names)}. "
                f"Got: {monitor!r}."
            )
        # Of each objective: with a positive, with a negative, with both in
        # one request.
        seen = np.zeros((3, len(self._names)), bool)
        for batch in self.batches():
            inside = cell_weights(batch).numpy() > 0
            labels = batch["labels"].numpy()
            # Amounts differ if some are above their mean, and some are not.
            counts = np.maximum(inside.sum(axis=(0, 1)), 1)
            limit = np.where(inside, labels, 0.0).sum(axis=(0, 1)) / counts
            limit[: len(self.model.schema.outcome_names)] = 0.0
            positive = labels > limit
            here = [
                (inside & part).any(axis=1) for part in (positive, ~positive)
            ]
            seen |= [part.any(axis=0) for part in (*here, here[0] & here[1])]
            if seen.all():
                break
        both = seen[0] & seen[1]
        for name in np.array(self._names)[~both]:
            logging.warning(
                "validation: objective `%s` has one outcome only and counts "
                "in no mean over objectives.",
                name,
            )
        kind, _, name = monitor.partition("/")
        defined = {"gauc": seen[2], VALUE_NDCG: seen[0], "loss": ~both | True}
        known = defined.get(kind, both)
        if not (known[self._names.index(name)] if name else known.any()):
            raise SchemaError(
                f"`monitor` is {monitor}, which is undefined: the validation "
                "split has no positive and negative to compare. Monitor loss "
                "or another objective, or make a larger split."
            )

    def __call__(self) -> dict[str, float | None]:
        """Returns metrics by name, None where undefined.

        Of each objective `loss/...`; `normalized_entropy/...`, the loss over
        that of always predicting the mean label; `auc/...`, not of amounts;
        and, within requests, `gauc/...`, of amounts that of pairs. `loss` is a
        sum over objectives, the other three are means over those with both
        outcomes. `value_ndcg@10` judges requests ordered by expected business
        value.
        """
        losses, sums, logits, labels, weights, values, request = self._results()
        size = int(request[-1]) + 1
        weight_sums = np.sum(sums, axis=0, dtype="float64")
        weighted = np.multiply(losses, sums, dtype="float64").sum(axis=0)
        found: dict[str, list[float]] = {kind: [] for kind in _KINDS}
        first = len(self.model.schema.outcome_names)
        for index, total in enumerate(weight_sums):
            inside = weights[:, index] > 0
            score, label, weight = (
                part[inside, index] for part in (logits, labels, weights)
            )
            loss = ratio(weighted[index], total)
            found["loss"].append(loss)
            here = request[inside]
            if index >= first:
                unit = float(self.model.amount_scales[index - first])
                found[_ENTROPY].append(
                    ratio(loss * unit, constant_deviance(label, weight))
                )
                found["auc"].append(np.nan)
                within = group_concordance(score, label, here, size, weight)
            else:
                rate = ratio(np.sum(weight * label, dtype="float64"), total)
                found[_ENTROPY].append(ratio(loss, _entropy(rate)))
                found["auc"].append(auc(score, label, weight))
                within = group_auc(score, label, here, size, weight)
            found["gauc"].append(within.mean())
        # Not by `sum`, which rounds otherwise from Python 3.12 on.
        metrics = {kind: mean_defined(np.array(v)) for kind, v in found.items()}
        metrics["loss"] = float(np.nansum(found["loss"]))
        for kind, each in found.items():
            for name, value in zip(self._names, each, strict=True):
                metrics[f"{kind}/{name}"] = value
        real = values[:, 2] > 0
        order, gains = values[real, 0], values[real, 1]
        metrics[VALUE_NDCG] = ndcg(order, gains, request[real], size)
        return {
            name: None if np.isnan(metrics[name]) else metrics[name]
            for name in self.metric_names
        }

    def predictions(self) -> tuple[np.ndarray, ...]:
        """Returns logits, labels and weights of all cells, each [M, T].

        And the number of the request of each [M].

        Raises:
            DataError: there is no request.
        """
        _, _, logits, labels, weights, _, request = self._results()
        return logits, labels, weights, request

    def _results(self) -> list[np.ndarray]:
        """Returns the results of all batches, one under another.

        Losses and sums of weights [K, T] of K batches; of M cells logits,
        labels and weights [M, T]; expected value, gain and whether there is a
        candidate [M, 3]; and the number of the request [M].
        """
        found, requests, size = [], [], 0
        for batch in self.batches():
            parts = [part.numpy() for part in self._evaluate(batch)]
            count, width = parts[-1].shape[:2]
            requests.append(np.repeat(np.arange(size, size + count), width))
            size += count
            found.append([part.reshape(-1, part.shape[-1]) for part in parts])
        if not found:
            raise DataError("the validation split has no request.")
        parts = [np.concatenate(parts) for parts in zip(*found, strict=True)]
        return [*parts, np.concatenate(requests)]

    def _evaluate_batch(self, batch: dict[str, tf.Tensor]) -> tuple:
        weights, labels = cell_weights(batch), batch["labels"]
        logits = self.model(batch, training=False)["logits"]
        schema, scales = self.model.schema, ()
        expected = tf.sigmoid(tf.cast(logits, tf.float32))
        if schema.amount_names:
            scales = self.model.amount_scales
            expected = self.model.head.expected(tf.cast(logits, tf.float32))
        losses, sums = objective_losses(labels, logits, weights, scales)
        if schema.scenario_values:
            values = request_values(schema, batch)[:, tf.newaxis]
        else:
            values = tf.constant(schema.objective_values, tf.float32)
        outcomes = tf.where(weights > 0, labels, tf.zeros_like(labels))
        real = tf.sequence_mask(batch["num_candidates"], tf.shape(labels)[1])
        valued = [tf.reduce_sum(p * values, -1) for p in (expected, outcomes)]
        valued = tf.stack([*valued, tf.cast(real, tf.float32)], axis=-1)
        return losses, sums, logits, labels, weights, valued


def _entropy(rate: float) -> float:
    """Returns the loss of always predicting a rate; 0 for 0 and 1."""
    return float(scipy.stats.entropy([rate, 1.0 - rate]))
