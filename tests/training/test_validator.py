"""Validation metrics against the definition."""

import numpy as np
import tensorflow as tf

from jd_tf.training.validator import Validator
from tests.training.toy import NAMES, ToyRanker, toy_batches


def _auc(scores, labels, weights):
    """By all pairs, weighted, ties half."""
    positive, negative = scores[labels == 1], scores[labels == 0]
    pairs = np.outer(weights[labels == 1], weights[labels == 0])
    wins = positive[:, None] > negative[None, :]
    wins = wins + 0.5 * (positive[:, None] == negative[None, :])
    return float((wins * pairs).sum() / pairs.sum())


def _flat(model, batches):
    """All real cells one under another, by a loop."""
    rows = []
    for batch in batches.as_numpy_iterator():
        logits = model(batch)["logits"].numpy()
        for request, count in enumerate(batch["num_candidates"]):
            for cell in range(count):
                where = (request, cell)
                weight = batch["label_weights"][where]
                rows.append((logits[where], batch["labels"][where], weight))
    return [np.array(column, "float64") for column in zip(*rows, strict=True)]


def test_metrics_are_those_of_all_real_cells():
    model = ToyRanker()

    def batches():
        def weigh(batch):
            weights = tf.constant([1.0, 2.0]) * (1.0 - batch["labels"] * 0.5)
            return {**batch, "label_weights": weights}

        return toy_batches(steps=3).map(weigh)

    metrics = Validator(model, batches)()
    logits, labels, weights = _flat(model, batches())
    probabilities = 1 / (1 + np.exp(-logits))
    hit = np.where(labels == 1, probabilities, 1 - probabilities)
    losses = (-np.log(hit) * weights).sum(axis=0) / weights.sum(axis=0)
    for index, name in enumerate(NAMES):
        np.testing.assert_allclose(metrics[f"loss/{name}"], losses[index], 1e-5)
        one = (logits[:, index], labels[:, index], weights[:, index])
        np.testing.assert_allclose(metrics[f"auc/{name}"], _auc(*one), 1e-5)
    np.testing.assert_allclose(metrics["loss"], losses.sum(), rtol=1e-5)
    both = [metrics[f"auc/{name}"] for name in NAMES]
    np.testing.assert_allclose(metrics["auc"], np.mean(both))


def test_what_is_undefined_is_none():
    def batches():
        def no_orders(batch):
            keep = tf.constant([1.0, 0.0])
            return {
                **batch,
                "labels": tf.zeros_like(batch["labels"]),
                "label_weights": batch["label_weights"] * keep,
            }

        return toy_batches(steps=2).map(no_orders)

    metrics = Validator(ToyRanker(), batches)()
    assert metrics["auc/click"] is None
    assert metrics["auc"] is None
    assert metrics["loss/order"] is None
    assert metrics["loss"] == metrics["loss/click"]


def test_dropout_is_off():
    model = ToyRanker(dropout_rate=0.9)
    validator = Validator(model, lambda: toy_batches(steps=2))
    assert validator() == validator()
