"""`python -m experiments.fusion_grid` from the prompt."""

import csv
import json
import re

import numpy as np
import pytest

from tests.evaluation.fusion.test_weight_judge import random_predictions
from tests.experiments.programs import assert_help_is_light, run_program


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("some predictions")
    paths = []
    for seed, name in enumerate(("validation", "test")):
        scores = np.random.default_rng(seed).normal(size=(300, 6))
        path = folder / f"{name}.npz"
        random_predictions(
            seed, 300, 6, scores={"learned": scores.astype("float32")}
        ).save(path)
        paths.append(path)
    return paths


def _run(files, output, *more):
    return run_program(
        "fusion_grid",
        f"--predictions={files[0]}",
        f"--judge={files[1]}",
        f"--output={output}",
        "--num_weights=60",
        *more,
    )


def _error(finished):
    assert finished.returncode == 2, finished.stderr
    assert "Traceback" not in finished.stderr
    (line,) = [
        line
        for line in finished.stderr.splitlines()
        if line.startswith("error: ")
    ]
    return line


def test_writes_report_table_and_picture(files, tmp_path):
    finished = _run(files, tmp_path / "out", "--progress")
    assert finished.returncode == 0, finished.stderr
    assert "best global weights: click 0." in finished.stdout
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "fusion_grid.csv", "fusion_grid.json", "fusion_grid.png"
    ]  # fmt: skip
    assert "ranking" in finished.stderr  # the bar
    report = json.loads((tmp_path / "out" / "fusion_grid.json").read_text())
    assert set(report["rankings"]) == {
        "best_global_weights",
        "best_weights_by_scenario",
        "expected_value",
        "learned",
    }
    assert set(report["segments"]["scenario"]) == {"feed", "cart"}
    with open(tmp_path / "out" / "fusion_grid.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 60
    ndcg = [float(row["ndcg"]) for row in rows]
    assert ndcg == sorted(ndcg, reverse=True)
    assert ndcg[0] == pytest.approx(report["global"]["ndcg"], abs=1e-5)
    for name, weight in report["global"]["weights"].items():
        assert float(rows[0][f"weight_{name}"]) == pytest.approx(
            weight, abs=1e-5
        )
    png = (tmp_path / "out" / "fusion_grid.png").read_bytes()
    assert png.startswith(b"\x89PNG")


def test_values_segments_and_form_can_be_chosen(files, tmp_path):
    finished = _run(
        files,
        tmp_path,
        "--values=cart=2",
        "--segments=",
        "--form=additive",
        "--k=3",
        "--axes=order,cart",
        "--noprogress",
    )
    assert finished.returncode == 0, finished.stderr
    report = json.loads((tmp_path / "fusion_grid.json").read_text())
    assert report["values"] == {"click": 0, "cart": 2, "order": 0}
    assert (report["form"], report["k"]) == ("additive", 3)
    assert report["segments"] == {}


def test_what_is_wrong_is_one_line(files, tmp_path):
    for flag, message in (
        ("--values=like=1", "--values are name=number .* 'like=1'"),
        ("--values=cart=-1", "--values are .*'cart=-1'"),
        ("--axes=cart", "--axes are two of click, cart, order"),
        ("--segments=hour", r"no segments \['hour'\]. It has: \['scenario'\]"),
        ("--judge=none.npz", "none.npz: no such file"),
        ("--num_weights=3", "`num_weights` must be at least 9"),
    ):
        line = _error(_run(files, tmp_path / "out", flag))
        assert re.search(message, line), line
    assert not (tmp_path / "out").exists()


def test_help_does_not_wait_for_tensorflow():
    assert_help_is_light("fusion_grid")
