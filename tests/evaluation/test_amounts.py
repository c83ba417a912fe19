"""Objectives that are amounts, from data to report, export and client."""

import keras
import numpy as np
import pandas as pd
import pytest

from jd_tf.data.batches import numpy_batches
from jd_tf.data.dataset import write_dataset
from jd_tf.data.item_pairs.item_pairs import check_names
from jd_tf.data.summary import summarize
from jd_tf.data.summary_report import summary_text
from jd_tf.data.validation import RequestValidator
from jd_tf.evaluation import evaluate
from jd_tf.evaluation.baselines import LambdaRank, LightGBM, Popularity
from jd_tf.evaluation.predictions_file import PredictionsFile
from jd_tf.evaluation.system_metrics import evaluate_predictions
from jd_tf.metrics import amount_metrics, expected_value
from jd_tf.models import PooledMMoE, replace_fields
from jd_tf.models.blocks.mean_preserving_bias import mean_preserving_bias
from jd_tf.models.blocks.score_head import ScoreHead
from jd_tf.pipeline.recall.interactions import Interactions
from jd_tf.schema import DataError, Objective
from jd_tf.training.config import TrainingConfig
from jd_tf.training.folder_training import train_folder
from jd_tf.training.workdir import load_trained
from tests.experiments.programs import tiny_schema
from tests.models.test_jd_ranker import batch_of
from tests.requests import AMOUNTS, random_requests

SCHEMA = tiny_schema(*AMOUNTS)
GIVEN, VALUES = SCHEMA.given_indices, SCHEMA.objective_values
NAMES = SCHEMA.objective_names


def _head(**options):
    head = ScoreHead(GIVEN, VALUES, num_amounts=2, **options)
    head.build((None, None, 4), (None, 3))
    head.amount_scales.assign([20.0, 50.0])
    return head


def _logits():
    """Logits (2, 5, 4) and what is expected, by hand."""
    logits = np.random.default_rng(1).normal(0, 2, (2, 5, 4))
    chances = 1 / (1 + np.exp(-logits[..., :2]))
    return logits, chances, np.exp(logits[..., 2:]) * [20.0, 50.0]


def test_the_score_is_the_value_of_outcomes_and_amounts():
    logits, chances, amounts = _logits()
    found = _head()(logits)
    np.testing.assert_allclose(found["probabilities"], chances, rtol=1e-5)
    np.testing.assert_allclose(found["amounts"], amounts, rtol=1e-5)
    wanted = chances @ VALUES[:2] + amounts @ VALUES[2:]
    np.testing.assert_allclose(found["score"], wanted, rtol=1e-5)
    numpy = expected_value(
        np.concatenate([chances, amounts], -1), SCHEMA.objectives
    )
    np.testing.assert_allclose(numpy, wanted, rtol=1e-5)
    values = np.array([[1.0, 0.0, 0.0, 2.0], [0.0, 3.0, 1.0, 0.0]])
    by_request = _head()(logits, values=values)["score"]
    both = np.concatenate([chances, amounts], -1)
    wanted = np.einsum("bnt,bt->bn", both, values)
    np.testing.assert_allclose(by_request, wanted, rtol=1e-5)


@pytest.mark.parametrize("form", ["log_linear", "additive"])
def test_a_fusion_reads_amounts_below_one(form):
    logits, chances, amounts = _logits()
    weights = (1.0, 2.0, 3.0, 4.0)
    options = {"kind": "fixed", "form": form, "fusion_weights": weights}
    found = _head(**options)(logits, np.ones((2, 3)))["score"]
    shares = amounts / np.add(amounts, (20.0, 50.0))
    parts = np.concatenate([chances, shares], -1)
    parts = np.log(parts) if form == "log_linear" else parts
    np.testing.assert_allclose(found, parts @ weights, rtol=1e-4)


def test_calibration_leaves_amounts_alone():
    logits, _, amounts = _logits()
    head = _head(calibrate=True)
    head.calibration.assign_curves([([0.0], [1.0]), ([0.0], [-1.0])])
    found = head(logits)
    np.testing.assert_allclose(found["amounts"], amounts, rtol=1e-5)
    wanted = 1 / (1 + np.exp(-logits[..., 0] - 1))
    np.testing.assert_allclose(found["probabilities"][..., 0], wanted, 1e-5)
    np.testing.assert_array_equal(
        head.calibrated(logits)[..., 2:], logits[..., 2:].astype("float32")
    )


def test_position_bias_keeps_the_expected_amount():
    model = PooledMMoE(SCHEMA)
    random = np.random.default_rng(3)
    conditional = random.normal(-3, 1, (50, 6, 4)).astype("float32")
    bias = random.normal(0.5, 0.5, (50, 6, 4)).astype("float32")
    chain = model.entire_space
    moved = mean_preserving_bias(
        bias, conditional, chain, GIVEN, np.full(50, 6)
    )
    before, after = (
        np.sum(chain.expected(chain(one)), axis=(0, 1))
        for one in (conditional, conditional + moved)
    )
    np.testing.assert_allclose(after, before, rtol=0.1)
    off = np.sum(chain.expected(chain(conditional + bias)), axis=(0, 1))
    assert (off / before > 1.3).all()


def test_labels_are_checked_by_kind():
    request = random_requests(SCHEMA, 1)[0]
    check = RequestValidator(SCHEMA).check
    check(request)
    labels = np.zeros_like(request["labels"])
    labels[0] = [1, 1, 12.5, 0]
    check({**request, "labels": labels})
    for place, wrong, message in (
        ((0, 0), 2.5, "holds 2.5, not 0 or 1"),
        ((0, 2), -1.0, "holds -1.0 as `dwell`, an amount"),
        ((0, 3), np.inf, "holds inf"),
        ((0, 3), np.nan, "holds nan"),
        ((0, 0), 0.0, "without `click`"),
    ):
        spoilt = labels.copy()
        spoilt[place] = wrong
        if place == (0, 0) and not wrong:
            spoilt[0, 1] = 0.0
        with pytest.raises(DataError, match=message):
            check({**request, "labels": spoilt})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A ranker that learns to fuse, judged; its folder and metrics."""
    folder = tmp_path_factory.mktemp("amounts")
    splits = {
        split: random_requests(SCHEMA, 60, seed=seed)
        for seed, split in enumerate(("train", "validation", "test"))
    }
    write_dataset(folder / "data", SCHEMA, splits)
    keras.utils.set_random_seed(1)
    config = replace_fields(
        PooledMMoE.config_class(), {"fusion": "personalized", "calibrate": True}
    )
    trainer = train_folder(
        PooledMMoE(SCHEMA, config),
        folder / "data",
        folder / "run",
        TrainingConfig(batch_size=16, progress=False, epochs=2),
    )
    metrics = evaluate(
        folder / "data",
        folder / "run",
        max_tree_impressions=0,
        num_replicates=3,
        log=lambda _: None,
    )
    return folder, metrics["test"], trainer


def _cells(folder, split, index):
    """Labels and item ids of the cells of an objective."""
    (batch,) = numpy_batches(folder / "data", split, 100, schema=SCHEMA)
    width = batch["item_id"].shape[1]
    real = np.arange(width) < batch["num_candidates"][:, None]
    return batch["labels"][real][:, index], batch["item_id"][real]


def test_units_are_means_of_what_happened():
    batch = batch_of(random_requests(SCHEMA, 30), SCHEMA)
    batch["label_weights"] = np.where(
        np.arange(len(batch["labels"]))[:, None, None] % 3, 2.0, 0.0
    ) * np.ones_like(batch["labels"])
    model = PooledMMoE(SCHEMA)
    model.adapt([batch, batch])
    labels = np.array(batch["labels"])[np.arange(30) % 3 > 0]
    for place, index in enumerate((2, 3)):
        wanted = labels[..., index].sum() / labels[..., GIVEN[index]].sum()
        found = float(model.amount_scales[place])
        assert found == pytest.approx(wanted, rel=1e-5)


@pytest.mark.slow
def test_calibration_makes_the_mean_right(run):
    """On the validation split, where the factor is taken from."""
    folder, *_ = run
    model = load_trained(folder / "run")
    (batch,) = numpy_batches(folder / "data", "validation", 100, schema=SCHEMA)
    width = batch["item_id"].shape[1]
    real = np.arange(width) < batch["num_candidates"][:, None]
    found = model(batch)["amounts"].numpy()[real].sum(axis=0, dtype=float)
    labels = batch["labels"][real][:, 2:].sum(axis=0, dtype=float)
    np.testing.assert_allclose(found, labels, rtol=1e-4)


def test_training_reports_amounts(run):
    *_, trainer = run
    row = trainer.state.history[-1]
    assert row["loss/dwell"] > 0
    row = next(r for r in trainer.state.history if "validation/auc" in r)
    assert "validation/auc/dwell" not in row
    assert 0 <= row["validation/gauc/paid"] <= 1
    entropies = [row[f"validation/normalized_entropy/{n}"] for n in NAMES]
    mean = row["validation/normalized_entropy"]
    assert mean == pytest.approx(np.mean(entropies))


def test_validation_equals_the_metrics_of_numpy(run):
    folder, *_ = run
    from jd_tf.data.batches import read_batches
    from jd_tf.training.validator import Validator

    model = load_trained(folder / "run")
    batches = read_batches(folder / "data", "validation", 16, schema=SCHEMA)
    found = Validator(model, lambda: batches)()
    (batch,) = numpy_batches(folder / "data", "validation", 100, schema=SCHEMA)
    width = batch["item_id"].shape[1]
    real = np.arange(width) < batch["num_candidates"][:, None]
    logits = model(batch)["logits"].numpy()[..., 2]
    amounts = np.exp(logits) * float(model.amount_scales[0])
    labels = batch["labels"][..., 2]
    request = np.nonzero(real)[0]
    deviance = amount_metrics.relative_deviance(amounts[real], labels[real])
    pairs = amount_metrics.group_concordance(
        amounts[real], labels[real], request, len(real)
    )
    name = "normalized_entropy/dwell"
    assert found[name] == pytest.approx(deviance, rel=1e-4)
    assert found["gauc/dwell"] == pytest.approx(pairs.mean(), rel=1e-5)


def test_a_run_is_judged_and_reported(run):
    folder, metrics, _ = run
    (ranker, *_) = metrics
    for name in SCHEMA.amount_names:
        entry = metrics[ranker][name]
        assert "auc" not in entry
        assert 0 <= entry["gauc"] <= 1
        assert entry["relative_deviance"] > 0
        assert entry["calibration_ratio"] > 0
        assert entry["mean_absolute_error"] > 0
        assert metrics["last_category"][name]["relative_deviance"] is None
        assert metrics["last_category"][name]["gauc"] is not None
    assert 0 < metrics[ranker]["value"]["ndcg@10"] <= 1
    assert "fusion" in metrics[ranker]["value"]
    assert "calibration" in metrics[ranker]["click"]
    assert "calibration" not in metrics[ranker]["dwell"]
    page = (folder / "run" / "report.html").read_text(encoding="utf-8")
    assert "Amounts: dwell, paid. Trees" in page
    assert "rel. deviance" in page


def test_popularity_predicts_the_mean_of_items(run):
    folder, *_ = run
    labels, items = _cells(folder, "train", 2)
    (batch,) = numpy_batches(folder / "data", "train", 100, schema=SCHEMA)
    found = Popularity(SCHEMA, strength=5.0).fit([batch]).score(batch)
    assert found["probabilities"].shape[-1] == 2
    table = pd.DataFrame({"item": items, "dwell": labels})
    sums = table.groupby("item").dwell.agg(["sum", "count"])
    item = batch["item_id"][0, 0]
    total, count = sums.loc[item]
    wanted = (total + 5 * labels.mean()) / (count + 5)
    assert found["amounts"][0, 0, 0] == pytest.approx(wanted, rel=1e-5)


def test_lambda_rank_takes_amounts_as_gains():
    class Part:
        labels = np.concatenate(
            [request["labels"] for request in random_requests(SCHEMA, 20)]
        )
        weights = np.ones_like(labels)

    goals = list(LambdaRank(SCHEMA)._goals([Part]))
    assert len(goals) == 5
    for (options, (target,)), wanted in zip(
        goals[2:], (*Part.labels.T[2:], Part.labels @ VALUES), strict=True
    ):
        levels = np.array(options["label_gain"])
        np.testing.assert_allclose(levels[target[0]], wanted, rtol=1e-6)
    assert len(list(LightGBM(SCHEMA)._goals([Part]))) == 2


def test_systems_without_amounts_are_judged_by_their_order(run):
    requests = random_requests(SCHEMA, 8)
    labels = np.zeros((8, 7, 4))
    count = np.array([len(r["item_id"]) for r in requests])
    for row, request in enumerate(requests):
        labels[row, : count[row]] = request["labels"]
    score = labels[..., 2]
    chances = np.full((8, 7, 2), 0.5)
    systems = {
        "order": {"score": score},
        "chances": {"probabilities": chances, "score": score},
        "exact": {"probabilities": chances, "amounts": labels[..., 2:]},
    }
    found = evaluate_predictions(
        *(labels, np.ones_like(labels), count, systems, SCHEMA.objectives),
        num_replicates=0,
    )
    for name in ("order", "chances"):
        assert found[name]["dwell"]["gauc"] == 1.0
        assert found[name]["dwell"]["relative_deviance"] is None
    assert found["exact"]["paid"]["relative_deviance"] < 1e-6
    assert found["exact"]["paid"]["calibration_ratio"] == 1.0
    with pytest.raises(ValueError, match=r"`amounts` must be .8, 7, 2."):
        evaluate_predictions(
            *(labels, np.ones_like(labels), count),
            {"wrong": {"amounts": labels, "score": score}},
            SCHEMA.objectives,
        )


def test_a_file_of_another_system_has_amounts(run, tmp_path):
    folder, *_ = run
    (batch,) = numpy_batches(
        folder / "data", "test", 100, schema=SCHEMA, keys=True
    )
    rows = [
        (request.decode(), item)
        for request, items, n in zip(
            batch["request_id"],
            batch["item_id"],
            batch["num_candidates"],
            strict=True,
        )
        for item in items[:n]
    ]
    table = pd.DataFrame(rows, columns=["request_id", "item_id"])
    for place, name in enumerate(NAMES):
        table[name] = 0.25 + 10.0 * (place > 1)
    path = tmp_path / "other.csv"
    table.to_csv(path, index=False)
    found = PredictionsFile(path, SCHEMA).score(batch)
    assert found["amounts"].shape == (*batch["item_id"].shape, 2)
    assert found["amounts"].max() == 10.25
    table.assign(paid=-1.0).to_csv(path, index=False)
    with pytest.raises(DataError, match="`paid`: must be a number of 0 or"):
        PredictionsFile(path, SCHEMA)


def test_what_is_of_outcomes_alone_says_so(run, tmp_path):
    folder, *_ = run
    with pytest.raises(DataError, match="Leave out the amounts: dwell, paid"):
        evaluate(
            folder / "data",
            folder / "run",
            max_tree_impressions=0,
            num_replicates=0,
            log=lambda _: None,
            predictions=tmp_path / "files",
        )
    assert not (tmp_path / "files").exists()
    with pytest.raises(DataError, match="`click:dwell` must be behaviour"):
        check_names(SCHEMA, ["item_id"], ["click:dwell"], "pairs")
    found = Interactions.of_records(folder / "data")
    with pytest.raises(DataError, match="no behaviour or objective `dwell`"):
        Interactions.of_records(folder / "data", {"dwell": 2.0})
    kinds = tiny_schema(Objective("click"), Objective("order", given="click"))
    outcomes = tmp_path / "outcomes"
    write_dataset(
        outcomes,
        kinds,
        {
            "train": [
                {**r, **{n: r[n][:, :2] for n in ("labels", "label_weights")}}
                for r in random_requests(SCHEMA, 60)
            ]
        },
    )
    alone = Interactions.of_records(outcomes)
    assert found.weight.sum() == alone.weight.sum()


def test_the_summary_has_the_mean(run):
    folder, *_ = run
    summary = summarize(folder / "data")
    labels, _ = _cells(folder, "test", 3)
    found = summary["splits"]["test"]["labels"]
    assert found["paid"]["mean"] == pytest.approx(labels.mean())
    assert found["paid"]["positives"] == np.count_nonzero(labels)
    assert "mean" not in found["click"]
    assert f"mean {labels.mean():.4g}" in summary_text(summary)
