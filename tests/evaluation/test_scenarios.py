"""Metrics by scenario: as if each were alone, absent and tiny ones too."""

import numpy as np
import pytest

from jd_tf.evaluation.collect import collect_predictions
from jd_tf.evaluation.report.run_report import write_report
from jd_tf.evaluation.system_metrics import evaluate_predictions
from jd_tf.metrics.business_value import values_by_request
from jd_tf.metrics.ranking_metrics import group_ndcg
from jd_tf.schema import IdColumn, Objective, ScenarioValues
from tests.requests import small_schema

PAGES = ("feed", "cart", "order_page", "live")
VALUES = (ScenarioValues("cart", (0.0, 1.0)),)


def schema(**changes):
    fields = {
        "objectives": (Objective("click"), Objective("order", 9.0)),
        "context_columns": (
            IdColumn("scenario", dtype="string", vocabulary=PAGES),
        ),
        "scenario_column": "scenario",
        "scenario_values": VALUES,
        "max_candidates": 5,
    }
    return small_schema(**{**fields, **changes})


def batch(mine, pages, seed=0):
    rng = np.random.default_rng(seed)
    count, width = len(pages), mine.max_candidates
    truth = rng.random((count, width, 2)) * [0.6, 0.3]
    found = {
        column.name: np.zeros(
            [s if s is not None else width for s in (count, *column.shape[1:])],
            column.dtype if column.dtype != "string" else object,
        )
        for column in mine.columns()
    }
    return {
        **found,
        "scenario": np.array([page.encode() for page in pages], object),
        "num_candidates": rng.integers(2, width + 1, count).astype(np.int32),
        "labels": (rng.random(truth.shape) < truth).astype(np.float32),
        "label_weights": np.ones(truth.shape, np.float32),
        "user_id": np.array([b"u%d" % (i // 3) for i in range(count)], object),
        "truth": truth.astype(np.float32),
    }


def predictions(mine, pages, seed=0):
    made = batch(mine, pages, seed)
    truth = made.pop("truth")
    scorers = {
        "jd_ranker": lambda _: {"probabilities": truth},
        "popularity": lambda _: {"score": -truth[..., 0]},
    }
    return collect_predictions([made], mine, scorers)


def test_each_scenario_is_judged_as_if_it_were_alone():
    pages = ["feed"] * 300 + ["cart"] * 200 + ["order_page"] * 150
    pages = np.random.default_rng(1).permutation(pages).tolist()
    found = predictions(schema(), pages)
    judged = found.evaluate_scenarios(num_replicates=20)
    assert list(judged) == list(PAGES)
    for page in PAGES[:3]:
        rows = np.array(pages) == page
        values = np.array(schema().values_in(page))
        alone = evaluate_predictions(
            found.labels[rows],
            found.label_weights[rows],
            found.num_candidates[rows],
            {
                s: {n: o[rows] for n, o in e.items()}
                for s, e in found.systems.items()
            },
            schema(
                objectives=(
                    Objective("click", values[0]),
                    Objective("order", values[1]),
                ),
                scenario_values=(),
            ).objectives,
            found.user_ids[rows],
            20,
        )
        entry = judged[page]
        assert entry["num_requests"] == rows.sum()
        assert entry["note"] is None
        assert entry["values"] == {"click": values[0], "order": values[1]}
        for system, objectives in entry["systems"].items():
            for objective, metrics in objectives.items():
                for name, value in metrics.items():
                    assert value == alone[system][objective][name], name


def test_value_is_that_of_the_scenario_also_over_all_requests():
    pages = ["feed", "cart"] * 150
    found = predictions(schema(), pages)
    judged = found.evaluate(num_replicates=0)["jd_ranker"]["value"]
    truth = found.systems["jd_ranker"]["probabilities"]
    values = np.array([[1.0, 9.0], [0.0, 1.0]] * 150)
    np.testing.assert_array_equal(
        values_by_request(schema(), found.scenarios), values
    )
    ndcgs = []
    for row, count in enumerate(found.num_candidates):
        gains = found.labels[row, :count] @ values[row]
        # The plain rule ranks by the scenario's own values as well.
        scores = truth[row, :count].astype(np.float64) @ values[row]
        ndcgs.append(group_ndcg(scores.astype(np.float32), gains)[0])
    assert judged["ndcg@10"] == pytest.approx(np.nanmean(ndcgs), abs=1e-6)
    flat = predictions(schema(scenario_values=()), pages)
    other = flat.evaluate(num_replicates=0)["jd_ranker"]["value"]
    assert other["total_value"] != judged["total_value"]


def test_absent_tiny_and_unknown_scenarios_break_nothing(tmp_path):
    pages = ["feed"] * 200 + ["cart"] + ["order_page"] * 3 + ["fair"] * 4
    found = predictions(schema(), pages)
    judged = found.evaluate_scenarios(num_replicates=20)
    assert list(judged) == [*PAGES, "fair"]
    live = judged["live"]
    assert live["num_requests"] == 0
    assert live["systems"] is None
    assert "no requests" in live["note"]
    cart = judged["cart"]
    assert cart["note"].startswith("1 requests only")
    assert cart["systems"]["jd_ranker"]["click"]["auc_interval"] is None
    only_feed = predictions(schema(), ["feed"] * 200)
    assert (
        only_feed.evaluate_scenarios(num_replicates=20)["feed"]["num_requests"]
        == 200
    )
    path = write_report(
        tmp_path / "report.html",
        {
            "test": found.evaluate(num_replicates=20),
            "scenarios": {"test": judged},
        },
        schema=schema(),
    )
    text = path.read_text(encoding="utf-8")
    assert "Scenario by scenario" in text
    for page in judged:
        assert f"<h3>{page}: " in text
    assert "no requests of this scenario" in text


def test_one_class_only_is_undefined_not_wrong():
    made = batch(schema(), ["feed"] * 120 + ["cart"] * 120)
    truth = made.pop("truth")
    made["labels"][120:, :, 1] = 0
    found = collect_predictions(
        [made], schema(), {"jd_ranker": lambda _: {"probabilities": truth}}
    )
    judged = found.evaluate_scenarios(num_replicates=5)
    assert judged["cart"]["systems"]["jd_ranker"]["order"]["auc"] is None
    assert judged["feed"]["systems"]["jd_ranker"]["order"]["auc"] > 0.5


def test_without_a_scenario_column_there_are_no_scenarios(tmp_path):
    plain = schema(scenario_column="", scenario_values=())
    found = predictions(plain, ["feed"] * 50)
    assert found.evaluate_scenarios() == {}
    assert found.values is None
    metrics = {"test": found.evaluate(num_replicates=5), "scenarios": {}}
    path = write_report(tmp_path / "r.html", metrics)
    assert "Scenario by scenario" not in path.read_text(encoding="utf-8")
