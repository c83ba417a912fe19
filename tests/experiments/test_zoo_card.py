"""The zoo's card: cells, comparisons, and the table on a page."""

import json
import subprocess
import sys

import pytest

from experiments.presets import QUICKSTART_PRESETS
from experiments.zoo_card import (
    MARKERS,
    add_card,
    card_in_short,
    card_markdown,
    card_picture,
    make_card,
    write_between_markers,
)
from experiments.zoo_cells import cell_configs, open_data, run_cell
from jd_tf.data.dataset_making import make_dataset
from jd_tf.schema import DataError
from tests.experiments.programs import (
    ROOT,
    assert_help_is_light,
    error_line,
    run_program,
)

MODELS = ("pooled_mmoe", "deep_fm", "star")
PRESET = QUICKSTART_PRESETS["jd_micro", "demo"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "shop"
    make_dataset(
        "simulator",
        folder,
        num_processes=1,
        num_users=30,
        num_items=100,
        num_requests=400,
    )
    return folder


@pytest.fixture(scope="module")
def output(shop, tmp_path_factory):
    """A card of three models, one seed; one of them has a frozen config."""
    path = tmp_path_factory.mktemp("made") / "zoo"
    (path.parent / "configs/shop").mkdir(parents=True)
    (path.parent / "configs/shop/deep_fm.yaml").write_text(
        "# reached: nothing\nmodel: deep_fm\n"
        "config: {network.hidden_units: [16], network.dropout_rate: 0.3}\n"
        "training: {seed: 9, batch_size: 32}\n"
    )
    finished = run_program(
        "benchmarks.zoo",
        f"--models={','.join(MODELS)}",
        f"--data=shop:{shop}",
        f"--output={path}",
        f"--configs={path.parent / 'configs'}",
        "--set=deep_fm.hidden_units=(8,)",
        "--set=training.log_every=2",
        "--candidates=20",
        "--num_replicates=20",
    )
    assert finished.returncode == 0, finished.stderr
    assert "| `star` |" in finished.stdout
    return path


@pytest.mark.slow
def test_a_card_has_every_model(output):
    card = json.loads((output / "card.json").read_text())
    assert card["first"] == "pooled_mmoe"
    assert "--models=pooled_mmoe,deep_fm,star" in card["command"]
    data = card["data"]["shop"]
    assert list(data["models"]) == list(MODELS)
    for name, row in data["models"].items():
        assert row["parameters"] > 0
        assert row["seconds"] > 0
        assert row["latency_ms"] > 0
        assert row["operations"]["per_candidate"] > 1000
        # Orders are too few for an interval.
        found = row["metrics"]["click"]["auc"]
        assert 0 < found["mean"] < 1
        if name != "pooled_mmoe":
            assert found["low"] <= found["difference"] <= found["high"]
    assert (output / "card.png").read_bytes().startswith(b"\x89PNG")
    assert (output / "card.md").read_text() == card_markdown(card) + "\n"


@pytest.mark.slow
def test_finished_cells_are_read_and_others_refused(output, shop, monkeypatch):
    def no_training(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr("experiments.zoo_cells.train", no_training)
    data = open_data(f"shop:{shop}", output)
    changes = {
        "deep_fm": {"hidden_units": "(8,)", "dropout_rate": 0.3},
        "training": {"log_every": "2", "batch_size": 32},
    }
    result = run_cell("deep_fm", data, 1, output, changes, 20, 20)
    # The file's, but for what --set gives, and the seed.
    assert result["config"]["network"]["hidden_units"] == [8]
    assert result["seed"] == result["training"]["seed"] == 1
    other = json.loads(
        (output / "cells/shop/star/seed-1/result.json").read_text()
    )
    assert other["training"]["batch_size"] == 64
    with pytest.raises(DataError, match="was made with num_candidates 20, not"):
        run_cell("deep_fm", data, 1, output, changes, 30, 20)
    with pytest.raises(AssertionError, match="trained again"):
        run_cell("deep_fm", data, 2, output, changes, 20, 20)


def cell(model, seed, auc, **more):
    return {
        "data": "shop",
        "model": model,
        "seed": seed,
        "metrics": {"click": {"auc": auc, "calibration_ratio": 1.25}},
        "replicates": {"click": {"auc": [auc - 0.01, auc, auc + 0.01]}},
        "seconds": 10.0 * seed,
        "parameters": 1234,
        "operations": {"per_candidate": 2e6, "per_request": 5e5},
        "latency_ms": {"median": 2.0},
        **more,
    }


FACTS = {"command": "x", "machine": "y", "date": "z", "num_candidates": 5}


def test_differences_are_paired_over_seeds_and_resamples():
    cells = [cell("a", 1, 0.70), cell("a", 2, 0.72)]
    cells += [cell("b", 2, 0.75), cell("b", 1, 0.73)]
    card = make_card(cells, ["a", "b"], FACTS)
    row = card["data"]["shop"]["models"]["b"]
    auc = row["metrics"]["click"]["auc"]
    # Each seed by 0.03, in every resample: nothing is left to vary.
    assert auc["difference"] == pytest.approx(0.03)
    assert auc["mean"] == pytest.approx(0.74)
    assert auc["high"] - auc["low"] == pytest.approx(0, abs=1e-6)
    assert row["seconds"] == 15.0
    text = card_markdown(card)
    own = "0.7400 (+0.0300 ± 0.0000) | 1.2500 | 15 | 1,234 | 2.00 | 0.50 | 2.0"
    assert f"| `b` | {own} |" in text
    assert card_picture(card).startswith(b"\x89PNG")
    assert card_in_short(card).splitlines()[:4] == [
        "| model | shop, AUC click | ms |",
        "| --- | --- | --- |",
        "| `a` | 0.7100 | 2.0 |",
        "| `b` | 0.7400 (+0.0300 ± 0.0000) | 2.0 |",
    ]


def test_a_card_keeps_the_data_sets_of_an_older_one():
    old = make_card([cell("a", 1, 0.70)], ["a"], FACTS)
    old["data"]["street"] = old["data"]["shop"]
    new = make_card([cell("a", 2, 0.80)], ["a"], FACTS | {"command": "anew"})
    both = add_card(old, new)
    assert both["data"] == {
        "shop": new["data"]["shop"],
        "street": old["data"]["street"],
    }
    assert both["command"] == f"{FACTS['command']}`, `anew"
    assert "**street** (seeds 1)" in card_markdown(both)
    with pytest.raises(DataError, match="`first` b, this run a"):
        add_card(old | {"first": "b"}, new)


def test_tables_replace_what_is_between_the_markers(tmp_path):
    page = tmp_path / "page.md"
    (begin, end), (short, short_end) = MARKERS
    page.write_text(f"above\n{begin}\nold\n{end}\nbelow\n")
    for text in ("| new |", "| newer |"):
        write_between_markers(page, (text, "short"))
        expected = f"above\n{begin}\n\n{text}\n\n{end}\nbelow\n"
        assert page.read_text() == expected
    page.write_text(f"{begin}\n{end}\n{short}\nold{short_end}")
    write_between_markers(page, ("whole", "a row"))
    expected = f"{begin}\n\nwhole\n\n{end}\n{short}\n\na row\n\n{short_end}"
    assert page.read_text() == expected
    for wrong in (
        f"{end}\n{begin}\n",
        f"{begin}\n{end}\n{begin}\n{end}",
        f"{short}\n{begin}\n{end}",
        f"{short}\n{short_end}\n{end}",
        "none",
    ):
        page.write_text(wrong)
        with pytest.raises(DataError, match=r"page\.md: must have"):
            write_between_markers(page, ("text", "short"))
        assert page.read_text() == wrong


def test_models_have_the_sizes_of_the_preset():
    _, fields, training = cell_configs("dcn_v2", PRESET, 7, {})
    assert (
        fields.items.embedding_dim == PRESET.model.items.feature_embedding_dim
    )
    assert fields.network.hidden_units == PRESET.model.head.expert_units
    assert fields.network.dropout_rate == PRESET.model.head.dropout_rate
    assert training.seed == 7
    _, tokens, _ = cell_configs("ple", PRESET, 7, {})
    assert tokens.items.model_dim == PRESET.model.items.model_dim
    name, ranker, _ = cell_configs("jd_ranker", PRESET, 7, {})
    assert (name, ranker.trees.num_trees) == ("jd_ranker", 0)
    name, ranker, _ = cell_configs("quickstart", PRESET, 7, {})
    assert (name, ranker) == ("jd_ranker", PRESET.model)


@pytest.mark.slow
def test_what_cannot_be_run_is_one_line(tmp_path, output):
    given = [f"--output={tmp_path}", "--models=star"]
    finished = run_program("benchmarks.zoo", f"--data=none:{tmp_path}", *given)
    assert f"--data=none:{tmp_path}" in error_line(finished)
    assert not list(tmp_path.iterdir())
    finished = run_program(
        "benchmarks.zoo", "--data=simulator", *given, "--configs=nowhere"
    )
    assert "--configs=nowhere: no such folder" in error_line(finished)
    finished = run_program(
        "benchmarks.zoo", "--data=simulator", *given, "--add_to=gone.json"
    )
    assert "--add_to=gone.json: no such file" in error_line(finished)
    page = tmp_path / "page.md"
    page.write_text("no markers\n")
    for card, named in (
        (output / "card.json", "page.md: must have a line"),
        (output / "cells/shop/star/seed-1/config.json", "is no card"),
    ):
        finished = run_program(
            "write_tables", f"--card={card}", f"--pages={page}"
        )
        assert named in error_line(finished)
    assert page.read_text() == "no markers\n"


@pytest.mark.slow
@pytest.mark.process
def test_the_smoke_card(tmp_path):
    """The command of the Makefile, of three models."""
    finished = subprocess.run(
        [
            "make",
            "smoke-card",
            "INSTALLED=",
            f"RUN={sys.executable}",
            f"SMOKE={tmp_path / 'smoke'}",
            f"SMOKE_MODELS={','.join(MODELS)}",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    card = json.loads((tmp_path / "smoke/card/card.json").read_text())
    assert list(card["data"]["shop"]["models"]) == list(MODELS)


def test_help_is_light():
    assert_help_is_light("benchmarks.zoo")
