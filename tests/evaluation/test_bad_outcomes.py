"""Objectives of value below 0, from the schema to the report."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from jd_tf.data.dataset import write_dataset
from jd_tf.data.tables.config_reading import read_config
from jd_tf.evaluation import evaluate
from jd_tf.evaluation.fusion.predictions import FusionPredictions
from jd_tf.evaluation.fusion.weight_judge import WeightJudge
from jd_tf.layers import FixedFusion, GlobalFusion, PersonalizedFusion
from jd_tf.losses import labels_and_weights
from jd_tf.metrics import group_ndcg
from jd_tf.models import PooledMMoE, replace_fields
from jd_tf.models.blocks.score_head import ScoreHead
from jd_tf.pipeline.recall.interactions import Interactions
from jd_tf.schema import DataError, Objective, ScenarioValues, SchemaError
from jd_tf.training.config import TrainingConfig
from jd_tf.training.folder_training import train_folder
from jd_tf.training.fusion.fusion_loss import FusionLoss
from tests.conftest import ROOT
from tests.experiments.programs import tiny_schema
from tests.requests import random_requests, small_schema

OBJECTIVES = (
    Objective("click"),
    Objective("order", 20.0, given="click"),
    Objective("return", -15.0, given="order"),
)
VALUES = tuple(objective.value for objective in OBJECTIVES)
SCHEMA = tiny_schema(*OBJECTIVES)


def _ndcg(order, gains, k=10):
    """NDCG of one request, place by place."""
    gains = np.asarray(gains, float) - min(min(gains), 0.0)

    def total(ranked):
        return sum(g / np.log2(i + 2) for i, g in enumerate(ranked[:k]))

    best = total(sorted(gains, reverse=True))
    return total(gains[np.argsort(-np.asarray(order))]) / best


def test_a_scenario_cannot_make_what_is_bad_good():
    named = {"objectives": OBJECTIVES, "scenario_column": "scenario"}
    for values in ((1.0, 2.0, -1.0), (0.0, 2.0, 0.0)):
        small_schema(scenario_values=(ScenarioValues(1, values),), **named)
    for values in ((1.0, 2.0, 1.0), (-1.0, 2.0, -1.0)):
        with pytest.raises(SchemaError, match="below 0 for bad outcomes"):
            small_schema(scenario_values=(ScenarioValues(1, values),), **named)


def test_tables_may_have_values_below_0_and_nothing_else(tmp_path):
    text = (ROOT / "examples/my_shop/shop.yaml").read_text(encoding="utf-8")
    (found,) = [line for line in text.splitlines() if "order: {events" in line]
    changed = found.replace("value: ", "value: -")
    assert changed != found
    path = tmp_path / "shop.yaml"
    path.write_text(text.replace(found, changed), encoding="utf-8")
    assert read_config(path).objectives["order"].value < 0
    number = "max_length: "
    assert number in text
    path.write_text(text.replace(number, number + "-", 1), encoding="utf-8")
    with pytest.raises(DataError, match="from 0 on"):
        read_config(path)


@pytest.mark.parametrize("form", ["log_linear", "additive"])
@pytest.mark.parametrize(
    "kind", [FixedFusion, GlobalFusion, PersonalizedFusion]
)
def test_weights_count_that_bad_outcomes_do_not_happen(kind, form):
    first = (2.0, 3.0, 4.0) if kind is FixedFusion else 3
    layer = kind(first, form=form, bad=(2,))
    logits = np.random.default_rng(1).normal(0, 3, (2, 5, 3))
    score, weights = layer(logits, np.ones((2, 4), "float32"))
    chance = 1 / (1 + np.exp(-logits))
    for b, n in np.ndindex(2, 5):
        click, order, back = chance[b, n]
        parts = np.array([click, order, 1 - back])
        parts = np.log(parts) if form == "log_linear" else parts
        wanted = float(weights[b].numpy() @ parts)
        assert float(score[b, n]) == pytest.approx(wanted, rel=1e-4)
    same = kind.from_config(json.loads(json.dumps(layer.get_config())))
    assert same.bad == (2,)
    with pytest.raises(ValueError, match="`bad` must be indices below 3"):
        kind(first, form=form, bad=(3,))


def test_the_score_falls_with_what_is_bad():
    logits = np.zeros((1, 2, 3))
    logits[0, 1, 2] = 1.0
    chances = 1 / (1 + np.exp(-logits))
    for kind in ("", "fixed"):
        head = ScoreHead((-1, -1, -1), VALUES, kind=kind)
        score = head(logits, np.ones((1, 4), "float32"))["score"].numpy()
        assert score[0, 1] < score[0, 0]
        if not kind:
            np.testing.assert_allclose(score, chances @ VALUES, rtol=1e-5)


def _outcomes(seed=0):
    """Labels (R, N, T) with returns, and orders (R, N)."""
    random = np.random.default_rng(seed)
    labels = (random.random((6, 5, 3)) < [0.5, 0.4, 0.3]).astype("float32")
    labels[..., 2] *= labels[..., 1]
    labels[0] = 0.0
    labels[0, 1, 1:] = 1.0  # ordered and sent back
    labels[1, :, 1:] = 0.0
    labels[1, 2, 2] = 1.0  # nothing but a loss, which is to be last
    return labels, random.normal(size=(6, 5))


def test_ndcg_takes_the_least_off_all():
    labels, orders = _outcomes()
    gains = labels @ np.array(VALUES)
    assert (gains < 0).any()
    request = np.repeat(np.arange(6), 5)
    found = group_ndcg(orders.ravel(), gains.ravel(), request, 6, 3)
    for row in range(6):
        assert found[row] == pytest.approx(_ndcg(orders[row], gains[row], 3))
    # The loss first and last.
    ends = [group_ndcg(s * gains[1], gains[1])[0] for s in (-1, 1)]
    assert ends[0] < ends[1] == 1.0


@pytest.mark.parametrize("form", ["log_linear", "additive"])
def test_the_search_of_weights_agrees(form):
    labels, _ = _outcomes()
    random = np.random.default_rng(3)
    chance = random.random(labels.shape)
    count = np.array([5, 5, 4, 5, 3, 5])
    judge = WeightJudge(
        FusionPredictions(
            chance, labels, count, ("click", "order", "return"), VALUES
        ),
        form,
    )
    weights = random.random((4, 3))
    found = judge.judge(weights).ndcg[0]
    parts = np.concatenate([chance[..., :2], 1 - chance[..., 2:]], axis=-1)
    parts = np.log(parts) if form == "log_linear" else parts
    gains = labels @ np.array(VALUES)
    for number, one in enumerate(weights):
        each = [
            _ndcg((parts[r] @ one)[:n], gains[r, :n])
            for r, n in enumerate(count)
            if np.ptp(gains[r, :n]) or gains[r, 0] > 0
        ]
        assert found[number] == pytest.approx(np.mean(each), rel=1e-4)


def test_losses_read_gains_from_0_on():
    labels, _ = _outcomes()
    batch = {
        "labels": tf.constant(labels),
        "label_weights": tf.ones(labels.shape),
        "num_candidates": tf.constant([5, 5, 4, 5, 3, 5]),
    }
    gains, listed = (x.numpy() for x in FusionLoss(VALUES).gains(batch))
    _, y, weights = labels_and_weights(batch, VALUES)
    for row, count in enumerate([5, 5, 4, 5, 3, 5]):
        wanted = labels[row, :count] @ np.array(VALUES)
        wanted = wanted - min(wanted.min(), 0.0)
        np.testing.assert_allclose(gains[row, :count], wanted, rtol=1e-6)
        np.testing.assert_allclose(y["score"][row, :count], wanted, rtol=1e-6)
        assert not gains[row, count:].any()
        assert not listed[row, count:].any()
        assert (y["score"][row, count:] == -1).numpy().all()
        assert not weights["score"][row, count:].numpy().any()


def test_lambda_rank_gets_no_gain_below_0():
    trees = pytest.importorskip("lightgbm") and pytest.importorskip(
        "jd_tf.evaluation.baselines.gradient_boosting"
    )

    class Part:
        labels, weights = _outcomes()[0].reshape(-1, 3), np.ones((30, 3))

    ranker = trees.LambdaRank(SCHEMA)
    *_, (options, (target,)) = ranker._goals([Part])
    levels = np.array(options["label_gain"])
    wanted = Part.labels @ np.array(VALUES)
    np.testing.assert_allclose(levels[target[0]], wanted - wanted.min())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A ranker that learns to fuse, judged; its metrics."""
    folder = tmp_path_factory.mktemp("returns")
    splits = {}
    for seed, split in enumerate(("train", "validation", "test")):
        splits[split] = random_requests(SCHEMA, 40, seed=seed)
        for request in splits[split]:
            labels = np.asarray(request["labels"])
            labels[:, 1] *= labels[:, 0]
            labels[:, 2] *= labels[:, 1]
            request["labels"] = labels
    write_dataset(folder / "data", SCHEMA, splits)
    keras.utils.set_random_seed(1)
    config = replace_fields(
        PooledMMoE.config_class(), {"fusion": "personalized", "calibrate": True}
    )
    train_folder(
        PooledMMoE(SCHEMA, config),
        folder / "data",
        folder / "run",
        TrainingConfig(
            batch_size=16, progress=False, monitor="value_ndcg@10", epochs=2
        ),
    )
    metrics = evaluate(
        folder / "data",
        folder / "run",
        max_tree_impressions=0,
        num_replicates=3,
        log=lambda _: None,
    )
    return folder, metrics["test"]


@pytest.mark.slow
def test_a_run_is_judged_and_reported(run):
    folder, metrics = run
    (ranker, *_) = metrics
    value = metrics[ranker]["value"]
    assert 0 < value["ndcg@10"] <= 1
    assert 0 <= metrics[ranker]["return"]["auc"] <= 1
    shown = (folder / "run" / "report.html").read_text(encoding="utf-8")
    assert "Bad outcomes, of values below 0: return." in shown


@pytest.mark.slow
def test_orders_are_judged_by_what_they_put_last(run):
    """An order alone has no numbers of objectives."""
    from jd_tf.evaluation.system_metrics import evaluate_predictions

    labels, _ = _outcomes()
    score = -labels[..., 2]
    count = np.full(6, 5)
    found = evaluate_predictions(
        labels,
        np.ones_like(labels),
        count,
        {"order": {"score": score}},
        OBJECTIVES,
        num_replicates=0,
    )
    assert found["order"]["return"]["auc"] == 1.0


def test_recall_does_not_bring_back_what_was_bad(run):
    folder, _ = run
    found = Interactions.of_records(folder / "data")
    only = Interactions.of_records(folder / "data", {"return": 0.0})
    more = Interactions.of_records(folder / "data", {"return": 2.0})
    assert found.weight.sum() == only.weight.sum() < more.weight.sum()
