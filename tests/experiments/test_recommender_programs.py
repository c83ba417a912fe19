"""A recommender built, asked and measured from the prompt."""

import json

import numpy as np
import pytest

from jd_tf.data.dataset import write_dataset
from jd_tf.pipeline.evaluation.pipeline_report import (
    evaluate_pipeline,
    report_text,
)
from jd_tf.serving.export import verify_export
from tests.experiments.programs import (
    assert_help_is_light,
    error_line,
    run_program,
)
from tests.serving.exported import tiny_version
from tests.serving.tiny_ranker import SCHEMA

NAMES = (
    "build_recommender",
    "recommend",
    "evaluate_pipeline",
    "benchmarks.pipeline.bench_recommender",
)


def logged(number):
    """A user of one of two tastes: even or odd items."""
    rng = np.random.default_rng(number)
    taste = 2 * rng.permutation(20) + 1 + number % 2
    shown = np.concatenate([taste[:2], rng.permutation(40)[:2] + 1])
    shown = np.unique(shown)
    labels = np.isin(shown, taste[:1]).astype(float)
    return {
        "request_id": number,
        "user_id": f"u{number % 20}",
        "request_time": 1000 + number,
        "click_item_id": taste[2:6],
        "click_event_time": 990 + number - np.arange(4),
        "item_id": shown,
        "labels": np.stack([labels, labels * 0], axis=1),
        "label_weights": np.ones((len(shown), 2)),
    }


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("log") / "data"
    requests = [logged(number) for number in range(120)]
    splits = {
        "train": requests[:90],
        "validation": requests[90:100],
        "test": requests[100:],
    }
    write_dataset(folder, SCHEMA, splits)
    return folder


@pytest.mark.process
def test_built_asked_and_measured(data, tmp_path):
    output = tmp_path / "recommender"
    arguments = (
        f"--data={data}",
        f"--saved_model={tiny_version().parent}",
        f"--output={output}",
        "--coarse_requests=20",
        "--two_tower_epochs=0",
    )
    built = run_program("build_recommender", *arguments)
    assert built.returncode == 0, built.stderr
    config = output / "recommender.yaml"
    assert f"recommender: {config}" in built.stdout
    assert "5 other users; merged" in built.stdout
    assert verify_export(output / "coarse_tower" / "1") == []
    answers = output / "answers.jsonl"
    patient = config.read_text().replace("seconds:", "old:")
    # A busy machine is slow, and this is no test of deadlines.
    patient += "deadline: 60.0\n"
    for stage in ("recall", "coarse", "fine"):
        patient = patient.replace(f"{stage}:\n", f"{stage}:\n  seconds: 10\n")
    patient = patient.replace("rerank:\n", "rerank:\n  seconds: 10\n")
    config.write_text(patient)
    asked = run_program(
        "recommend",
        f"--config={config}",
        f"--data={data}",
        f"--output={answers}",
        "--num_requests=5",
        "--attention",
    )
    assert asked.returncode == 0, asked.stderr
    assert "5 answers, milliseconds by stage" in asked.stdout
    lines = [json.loads(line) for line in answers.read_text().splitlines()]
    assert len(lines) == 5
    for line in lines:
        assert line["degraded"] == []
        stages = [stage["stage"] for stage in line["stages"]]
        assert stages == ["recall", "coarse", "fine", "rerank", "attention"]
        ids = [item["item_id"] for item in line["items"]]
        assert len(ids) == len(set(ids)) == 20
        assert set(line["items"][0]["probabilities"]) == {"click", "order"}
        assert line["items"][0]["channels"]
    text = report_text(
        evaluate_pipeline(
            config, data, output / "report", num_exhaustive=3, progress=False
        )
    )
    assert "20 requests, 40 items" in text
    report = json.loads((output / "report" / "pipeline.json").read_text())
    assert [row["stage"] for row in report["funnel"]] == stages[:4]
    sizes = [row["size"] for row in report["funnel"]]
    assert sizes == sorted(sizes, reverse=True)
    # Nothing is cut before the last stage: the shop is too small.
    assert report["funnel"][2]["best_kept"] == 1.0
    assert set(report["coarse_rivals"].values()) == {1.0}
    assert 0 <= report["final"]["value_ndcg"] <= 1
    picture = (output / "report" / "funnel.png").read_bytes()
    assert picture.startswith(b"\x89PNG")


@pytest.mark.parametrize("name", NAMES)
def test_help_waits_for_nothing(name):
    assert_help_is_light(name)


def test_a_ranker_that_is_not_there(tmp_path):
    finished = run_program(
        "build_recommender",
        f"--data={tmp_path}",
        f"--saved_model={tmp_path / 'gone'}",
        f"--output={tmp_path / 'made'}",
    )
    assert "gone" in error_line(finished)
    assert not (tmp_path / "made").exists()


def test_wrong_paths_are_one_line(tmp_path):
    gone = tmp_path / "gone.yaml"
    finished = run_program(
        "recommend", f"--config={gone}", f"--data={tmp_path}"
    )
    assert "gone.yaml: cannot be read" in error_line(finished)
