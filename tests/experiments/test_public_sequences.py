"""The program from a made-up folder to a row under the published ones."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from experiments.benchmarks.recall import full_ranking
from experiments.benchmarks.sequences_run import (
    protocol_metrics,
    result_table,
)
from jd_tf.data.batches import numpy_batches
from jd_tf.data.sources import open_source
from jd_tf.training.workdir import load_trained
from tests.data.sources.timeline_files import timelines, write_timelines
from tests.experiments.programs import (
    ROOT,
    assert_help_is_light,
    error_line,
    run_program,
)

PROGRAM = "benchmarks.public_sequences"
NAMES = {"HR@1", "HR@5", "NDCG@5", "HR@10", "NDCG@10", "MRR"}
PATIENCE_SECONDS = 300


def stamps(folder):
    return {
        path: path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file() and path.name != "result.json"
    }


def read_result(output, name="Tiny"):
    return json.loads((output / name / "result.json").read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two data sets; one with a bare minimum of files."""
    path = tmp_path_factory.mktemp("log")
    write_timelines(path, timelines())
    bare = {f"b{u}": items for u, items in timelines(60, seed=1).items()}
    write_timelines(path, bare, "Bare", num_negatives=0, attributes=False)
    text = path / "Bare.txt"
    text.write_bytes(text.read_bytes().rstrip())
    return path


@pytest.fixture(scope="module")
def output(folder, tmp_path_factory):
    """Killed while it trains, then run to the end."""
    path = tmp_path_factory.mktemp("made") / "runs"
    arguments = [f"--input={folder}", f"--output={path}", "--datasets=Tiny"]
    command = [sys.executable, "-m", f"experiments.{PROGRAM}", *arguments]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (path / "Tiny" / "model" / "config.json").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert process.returncode == -signal.SIGKILL
    (path / "Tiny" / ".data.killed").mkdir()
    made = stamps(path / "Tiny" / "data")
    finished = run_program(PROGRAM, *arguments)
    assert finished.returncode == 0, finished.stderr
    assert "making the data: done before" in finished.stdout
    assert stamps(path / "Tiny" / "data") == made
    return path


@pytest.mark.slow
def test_result_follows_the_protocol(output, folder):
    result = read_result(output)
    assert result["dataset"] == "Tiny"
    assert result["seed"] == 1
    for split in ("test", "validation"):
        assert set(result[split]) == NAMES
        for name, value in result[split].items():
            assert 0 <= value <= 1
            low, high = result[f"{split}_intervals"][name]
            assert low <= value <= high
        assert result[split]["HR@10"] == 1.0  # nine negatives and the target
    assert result["seconds"] > 0
    assert result["config"]["data"]["dataset"] == "Tiny"
    assert "test_full" not in result
    # Once more, by counting who stands above the target.
    data = output / "Tiny" / "data"
    model = load_trained(output / "Tiny" / "model")
    ranks = []
    for batch in numpy_batches(data, "test", 16):
        scores = model(batch, training=False)["score"].numpy()
        labels = batch["labels"][..., 0]
        for own, label, count in zip(
            scores, labels, batch["num_candidates"], strict=True
        ):
            target = own[:count][label[:count] == 1]
            ranks.append(1 + np.sum(own[:count] > target))
    ranks = np.array(ranks)
    expected = {
        "HR@1": ranks == 1,
        "HR@5": ranks <= 5,
        "NDCG@5": np.where(ranks <= 5, 1 / np.log2(1 + ranks), 0),
        "HR@10": ranks <= 10,
        "NDCG@10": np.where(ranks <= 10, 1 / np.log2(1 + ranks), 0),
        "MRR": 1 / ranks,
    }
    for name, values in expected.items():
        assert result["test"][name] == pytest.approx(np.mean(values), abs=1e-6)
    assert protocol_metrics(model, data, "test")[0] == result["test"]


@pytest.mark.slow
def test_a_second_run_only_adds_what_is_new(output, folder):
    before = read_result(output)
    made = stamps(output / "Tiny")
    arguments = [f"--input={folder}", f"--output={output}", "--full_ranking"]
    finished = run_program(PROGRAM, *arguments)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.count("done before") == 4
    after = read_result(output)
    for name in ("test", "validation", "config"):
        assert after[name] == before[name]
    state = output / "Tiny" / "steps.json"
    now = stamps(output / "Tiny")
    assert {p for p in now if now[p] != made.get(p)} == {state}
    # All data sets of the folder by default, that without negatives, too.
    bare = read_result(output, "Bare")
    assert set(bare["test"]) == NAMES
    for result in (after, bare):
        full = result["test_full"]
        assert set(full) == {
            f"{m}@{k}" for m in ("HR", "NDCG") for k in (5, 10, 20)
        }
        assert full["HR@5"] <= full["HR@10"] <= full["HR@20"] <= 1
    assert "nothing published" in finished.stdout
    finished = run_program(PROGRAM, *arguments)
    assert finished.stdout.count("done before") == 10
    assert stamps(output / "Tiny") == now


def opened(output, folder):
    """Returns the folder of data, the trained model and the source."""
    workdir = output / "Tiny"
    options = read_result(output)["config"]["data"]
    source = open_source("sequences", folder, **options)
    return workdir / "data", load_trained(workdir / "model"), source


@pytest.mark.slow
def test_chunks_of_the_catalogue_score_as_a_request_of_all(
    output, folder, monkeypatch
):
    monkeypatch.setattr(full_ranking, "_NUM_ITEMS", 37)
    data, model, source = opened(output, folder)
    ranker = full_ranking.CatalogueRanker(model, source.catalogue)
    for batch in numpy_batches(data, "test", 25):
        size, num_items = len(batch["labels"]), len(source.items)
        every = {
            **batch,
            **{
                name: np.broadcast_to(column, (size, *column.shape))
                for name, column in source.catalogue.items()
            },
            "num_candidates": np.full(size, num_items, np.int32),
        }
        scores = model(every, training=False)["score"]
        np.testing.assert_allclose(ranker(batch), scores, atol=1e-6)


def test_items_of_the_history_do_not_compete(output, folder, monkeypatch):
    """An untaught scorer, which puts many of them first."""
    data, model, source = opened(output, folder)
    items = source.items.tolist()
    scores = np.random.default_rng(3).random(len(items)).astype(np.float32)

    def tile(batch):
        return np.tile(scores, (len(batch["labels"]), 1))

    monkeypatch.setattr(full_ranking, "CatalogueRanker", lambda *_: tile)
    found = full_ranking.rank_all_items(model, data, source)
    score = dict(zip(items, scores.tolist(), strict=True))
    ranks = []
    for *history, target in timelines().values():
        others = set(items) - set(history)
        ranks.append(sum(score[item] >= score[target] for item in others))
    ranks = np.array(ranks)
    for k in (5, 10, 20):
        gains = np.where(ranks <= k, 1 / np.log2(1 + ranks), 0.0)
        assert found[f"HR@{k}"] == pytest.approx(np.mean(ranks <= k))
        assert found[f"NDCG@{k}"] == pytest.approx(np.mean(gains))


def test_tables_show_published_rows_where_there_are_some():
    result = {
        "dataset": "Beauty",
        "seed": 3,
        "test": dict.fromkeys(NAMES, 0.25),
    }
    lines = result_table(result).splitlines()
    assert lines[-1].split() == ["jd_tf", *["0.2500"] * 6]
    assert lines[-2].split()[-6:] == [
        "0.2192",
        "0.4502",
        "0.3407",
        "0.5506",
        "0.3732",
        "0.3340",
    ]
    assert "arXiv" in lines[2]
    other = result_table({**result, "dataset": "Games"})
    assert "nothing published" in other
    assert "SASRec" not in other


@pytest.mark.slow
def test_wrong_folders_are_named(folder, output, tmp_path):
    def refused(**flags):
        flags = {"input": folder, "output": output, **flags}
        given = [f"--{name}={value}" for name, value in flags.items()]
        return error_line(run_program(PROGRAM, *given))

    assert "no Other.txt" in refused(datasets="Tiny,Other")
    assert "no *.txt" in refused(input=tmp_path)
    assert "--data.seed=1, not 2" in refused(datasets="Tiny", seed=2)


def test_help_needs_no_tensorflow():
    assert_help_is_light(PROGRAM)
