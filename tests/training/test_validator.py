"""Validation metrics against the definition."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from jd_tf.schema import (
    DataError,
    IdColumn,
    Objective,
    ScenarioValues,
    SchemaError,
)
from jd_tf.training.validator import Validator
from tests.training.toy import (
    BATCH,
    NAMES,
    ToyRanker,
    toy_batches,
    toy_schema,
)


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
        rate = np.average(one[1], weights=one[2])
        base = -rate * np.log(rate) - (1 - rate) * np.log(1 - rate)
        np.testing.assert_allclose(
            metrics[f"normalized_entropy/{name}"], losses[index] / base, 1e-5
        )
    np.testing.assert_allclose(metrics["loss"], losses.sum(), rtol=1e-5)
    for kind in ("normalized_entropy", "auc", "gauc"):
        both = [metrics[f"{kind}/{name}"] for name in NAMES]
        np.testing.assert_allclose(metrics[kind], np.mean(both))
    assert set(metrics) == set(Validator(model, batches).metric_names)


@pytest.mark.parametrize("by_scenario", [False, True])
def test_within_requests_are_gauc_and_value_ndcg(by_scenario):
    values = {0: (2.0, 30.0)}
    schema = toy_schema(
        objectives=(Objective("click", 2.0), Objective("order", 30.0))
    )
    if by_scenario:
        values |= {1: (20.0, 3.0)}
        schema = dataclasses.replace(
            schema,
            context_columns=(IdColumn("scene", num_buckets=4),),
            scenario_column="scene",
            scenario_values=(ScenarioValues(1, values[1]),),
        )
    model = ToyRanker(schema)

    def batches():
        def mark(batch):
            kept = tf.reshape(tf.range(BATCH * 4 * 2) % 7 > 0, (BATCH, 4, 2))
            weights = tf.cast(kept, tf.float32) * 3.0
            scene = tf.cast(tf.range(BATCH) % 2, tf.int64)
            return {**batch, "label_weights": weights, "scene": scene}

        return toy_batches(steps=3).map(mark)

    gains, aucs = [], {name: [] for name in NAMES}
    for batch in batches().as_numpy_iterator():
        logits = model(batch)["logits"].numpy().astype("float64")
        chances = 1 / (1 + np.exp(-logits))
        for request, count in enumerate(batch["num_candidates"]):
            worth = values[int(batch["scene"][request]) * by_scenario]
            weights = batch["label_weights"][request, :count]
            labels = batch["labels"][request, :count]
            gain = (labels * (weights > 0)) @ worth
            expected = chances[request, :count] @ worth
            places = 1 / np.log2(np.arange(2, count + 2))
            if gain.any():
                # The same item twice: each gets the mean of their places.
                shared = [gain[expected == one].mean() for one in expected]
                got = np.array(shared)[np.argsort(-expected)] @ places
                gains.append(got / (np.sort(gain)[::-1] @ places))
            for index, name in enumerate(NAMES):
                inside = weights[:, index] > 0
                one = [part[inside, index] for part in
                       (logits[request, :count], labels, weights)]  # fmt: skip
                if 0 < one[1].sum() < len(one[1]):
                    aucs[name].append((_auc(*one), one[2].sum()))
    metrics = Validator(model, batches)()
    assert 0.3 < np.mean(gains) < 0.99
    np.testing.assert_allclose(metrics["value_ndcg@10"], np.mean(gains), 1e-6)
    for name, pairs in aucs.items():
        value, weight = np.transpose(pairs)
        wanted = np.average(value, weights=weight)
        np.testing.assert_allclose(metrics[f"gauc/{name}"], wanted, 1e-6)


def _one_class(objective, label=0.0, steps=2):
    """Batches in which an objective has one outcome only."""
    chosen = tf.one_hot(NAMES.index(objective), len(NAMES))

    def spoil(batch):
        labels = batch["labels"] * (1 - chosen) + chosen * label
        return {**batch, "labels": labels}

    return lambda: toy_batches(steps=steps).map(spoil)


def test_what_is_undefined_is_none_and_in_no_mean():
    metrics = Validator(ToyRanker(), _one_class("order"))()
    for kind in ("normalized_entropy", "auc", "gauc"):
        assert metrics[f"{kind}/order"] is None
        assert metrics[kind] == metrics[f"{kind}/click"]
    assert metrics["loss/order"] > 0

    def nothing():
        return toy_batches(steps=2).map(
            lambda batch: {
                **batch,
                "labels": tf.zeros_like(batch["labels"]),
                "label_weights": batch["label_weights"] * [1.0, 0.0],
            }
        )

    metrics = Validator(ToyRanker(), nothing)()
    assert metrics["loss/order"] is None
    assert metrics["loss"] == metrics["loss/click"]
    for name in ("auc", "gauc", "normalized_entropy", "value_ndcg@10"):
        assert metrics[name] is None


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_a_monitor_that_is_undefined_is_refused(label, caplog):
    validator = Validator(ToyRanker(), _one_class("order", label))
    for monitor in ("normalized_entropy", "auc", "loss/order", "gauc/click",
                    "value_ndcg@10"):  # fmt: skip
        caplog.clear()
        validator.check_monitor(monitor)
        assert "objective `order` has one outcome only" in caplog.text
        assert "click" not in caplog.text
    for monitor in ("auc/order", "gauc/order", "normalized_entropy/order"):
        with pytest.raises(SchemaError, match=f"{monitor}, which is undefined"):
            validator.check_monitor(monitor)


def test_a_monitor_nobody_computes_is_refused_by_name():
    validator = Validator(ToyRanker(), lambda: toy_batches(steps=2))
    with pytest.raises(SchemaError, match=r"gauc/order.*Got: 'auc/clicks'"):
        validator.check_monitor("auc/clicks")
    validator = Validator(ToyRanker(), lambda: toy_batches(steps=0))
    with pytest.raises(DataError, match="no request"):
        validator()


def test_labels_are_read_only_as_far_as_needed(caplog):
    read = []

    def batches():
        data = toy_batches(steps=20)
        return data.enumerate().map(lambda number, batch: count(number, batch))

    def count(number, batch):
        number = tf.numpy_function(lambda n: read.append(n) or n, [number],
                                   tf.int64)  # fmt: skip
        lengths = batch["click_length"]
        with tf.control_dependencies([number]):
            return {**batch, "click_length": tf.identity(lengths)}

    Validator(ToyRanker(), batches).check_monitor("auc")
    assert len(read) < 10
    assert not caplog.text


def test_dropout_is_off():
    model = ToyRanker(dropout_rate=0.9)
    validator = Validator(model, lambda: toy_batches(steps=2))
    assert validator() == validator()
