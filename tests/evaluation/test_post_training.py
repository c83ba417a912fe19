"""Calibration and fusion among a ranker's metrics."""

import numpy as np
import pytest

from jd_tf.evaluation.collect import collect_predictions
from jd_tf.evaluation.fusion.predictions import FusionPredictions
from jd_tf.evaluation.post_training import PostTraining
from jd_tf.evaluation.report.run_report import printed_summary, write_report
from jd_tf.metrics.ranking_metrics import group_ndcg
from jd_tf.schema import IdColumn, Objective
from tests.requests import small_schema

WIDTH, NAME = 5, "jd_ranker"
SCHEMA = small_schema(
    max_candidates=WIDTH,
    objectives=(Objective("click"), Objective("order", 9.0, given="click")),
    context_columns=(IdColumn("page_kind", vocabulary=(1, 2)),),
    reward=True,
)


def _batches(count=4, size=60):
    rng = np.random.default_rng(3)
    for _ in range(count):
        shape = (size, WIDTH)
        chances = np.stack([rng.uniform(0.2, 0.9, shape)] * 2, -1)
        chances[..., 1] *= rng.uniform(0.1, 0.9, shape)
        labels = rng.random((*shape, 1)) < chances
        labels[..., 1] &= labels[..., 0]
        columns = {
            c.name: np.zeros([size if a is None and i == 0 else a or WIDTH
                              for i, a in enumerate(c.shape)])
            for c in SCHEMA.columns()
        }  # fmt: skip
        yield {
            **columns,
            "num_candidates": rng.integers(2, WIDTH + 1, size),
            "page_kind": rng.integers(1, 3, size),
            "labels": labels.astype("float32"),
            "label_weights": np.ones((*shape, 2), "float32"),
            "reward": rng.normal(size=shape).astype("float32"),
            "item_dense": np.repeat(chances, 1, axis=2).astype("float32"),
        }


def _score(batch):
    """Predicts half as much before the curves; fuses like the truth."""
    chances = batch["item_dense"]
    weights = np.where(batch["page_kind"][:, None] == 1, [3.0, 1.0], [1.0, 3.0])
    return {
        "probabilities": chances,
        "score": (np.log(chances) * weights[:, None]).sum(-1),
        "uncalibrated": chances / 2,
        "fusion_weights": weights[:, None].astype("float32"),
    }


@pytest.fixture(scope="module")
def found():
    predictions = collect_predictions(
        _batches(), SCHEMA, {NAME: _score}, columns=["page_kind", "reward"]
    )
    return PostTraining.of(predictions, NAME)


@pytest.fixture(scope="module")
def metrics(found):
    judged = found.predictions.evaluate(num_replicates=0)
    found.add_to(judged)
    return judged


def test_calibration_is_judged_before_and_after(metrics):
    entry = metrics[NAME]["click"]["calibration"]
    before, after = entry["all"]["before"], entry["all"]["after"]
    assert before["calibration_ratio"] == pytest.approx(
        after["calibration_ratio"] / 2, rel=1e-5
    )
    assert after["calibration_error"] < before["calibration_error"] / 3
    assert set(entry["segments"]["page_kind"]) == {"1", "2"}
    consistency = metrics[NAME]["order"]["calibration"]["consistency"]
    assert consistency["after"]["share_above"] == 0


def test_fusion_stands_beside_expected_value(found, metrics):
    fusion = metrics[NAME]["value"]["fusion"]
    systems = found.predictions.systems[NAME]
    gains = found.predictions.labels @ np.array([1.0, 9.0])
    expected = systems["probabilities"] @ np.array([1.0, 9.0])
    apart = []
    for row, count in enumerate(found.predictions.num_candidates):
        if gains[row, :count].any():
            one, other = (
                group_ndcg(order[row, :count], gains[row, :count])[0]
                for order in (systems["score"], expected)
            )
            apart.append(one - other)
    assert fusion["num_requests"] == len(apart)
    assert fusion["difference"] == pytest.approx(np.mean(apart), abs=1e-9)
    error = np.std(apart, ddof=1) / np.sqrt(len(apart))
    assert fusion["standard_error"] == pytest.approx(error)
    both = fusion["fused"]["ndcg@10"] - fusion["expected_value"]["ndcg@10"]
    assert both == pytest.approx(fusion["difference"], abs=1e-9)
    assert fusion["segments"]["page_kind"]["1"] == {
        "click": pytest.approx(0.75),
        "order": pytest.approx(0.25),
    }
    assert fusion["weights"]["click"] == pytest.approx(
        found.weights[:, 0].mean()
    )


def test_report_and_summary_show_both(metrics, tmp_path):
    text = printed_summary(metrics)
    width = text.index("click") - 9  # a column has 14 places
    rows = {t[:width].strip(): t[width:].split() for t in text.split("\n")}
    click = metrics[NAME]["click"]["calibration"]["all"]
    for when in ("before", "after"):
        error = click[when]["calibration_error"]
        assert rows[f"ECE {when}"][0] == f"{error:.4f}"
    fusion = metrics[NAME]["value"]["fusion"]
    shares = [f"{share:.4f}" for share in fusion["shares"].values()]
    assert rows["fusion weights"] == shares
    assert f"difference {fusion['difference']:+.5f}" in text
    page = write_report(tmp_path / "r.html", {"test": metrics})
    text = page.read_text(encoding="utf-8")
    assert "Calibration before and after the curves" in text
    assert "page kind: 1 before" in text
    assert f"{fusion['fused']['ndcg@10']:.5f}" in text
    assert "page_kind: 2</td>\n<td>25.0 %" in text


def test_predictions_for_the_grid_hold_order_segments_and_gains(
    found, tmp_path
):
    FusionPredictions.of_run(found.predictions, NAME).save(tmp_path / "p.npz")
    loaded = FusionPredictions.load(tmp_path / "p.npz")
    assert set(loaded.segments) == {"page_kind"}
    assert set(loaded.scores) == {NAME}
    real = loaded.real
    rewards = np.where(real, found.predictions.columns["reward"], 0.0)
    least = np.minimum(rewards.min(axis=1, keepdims=True), 0.0)
    expected = np.where(real, rewards - least, 0.0)
    np.testing.assert_allclose(loaded.gains, expected, rtol=1e-6)
    assert (loaded.gains >= 0).all()


def test_a_ranker_without_the_stage_gets_no_such_metrics():
    def score(batch):
        return {"probabilities": batch["item_dense"]}

    predictions = collect_predictions(_batches(1), SCHEMA, {NAME: score})
    found = PostTraining.of(predictions, NAME)
    judged = found.predictions.evaluate(num_replicates=0)
    before = {name: set(entry) for name, entry in judged[NAME].items()}
    found.add_to(judged)
    assert before == {name: set(entry) for name, entry in judged[NAME].items()}
    assert "ECE" not in printed_summary(judged)
