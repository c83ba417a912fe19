"""The zoo's card: cells, comparisons, and the table on a page."""

import json

import pytest

from experiments.presets import QUICKSTART_PRESETS
from experiments.zoo_card import (
    BEGIN,
    END,
    card_markdown,
    card_picture,
    make_card,
    write_between_markers,
)
from experiments.zoo_cells import cell_configs, open_data, run_cell
from jd_tf.data.dataset_making import make_dataset
from jd_tf.schema import DataError
from tests.experiments.programs import (
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
    """The smoke card: three models, one seed."""
    path = tmp_path_factory.mktemp("made") / "zoo"
    finished = run_program(
        "benchmarks.zoo",
        f"--models={','.join(MODELS)}",
        f"--data=shop:{shop}",
        f"--output={path}",
        "--set=deep_fm.hidden_units=(8,)",
        "--set=training.log_every=2",
        "--candidates=20",
        "--num_replicates=20",
    )
    assert finished.returncode == 0, finished.stderr
    assert "| `star` |" in finished.stdout
    return path


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


def test_finished_cells_are_read_and_others_refused(output, shop, monkeypatch):
    def no_training(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr("experiments.zoo_cells.train", no_training)
    data = open_data(f"shop:{shop}", output)
    changes = {
        "deep_fm": {"hidden_units": "(8,)"},
        "training": {"log_every": "2"},
    }
    result = run_cell("deep_fm", data, 1, output, changes, 20, 20)
    assert result["config"]["network"]["hidden_units"] == [8]
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


def test_the_table_replaces_what_is_between_the_markers(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"above\n{BEGIN}\nold\n{END}\nbelow\n")
    for text in ("| new |", "| newer |"):
        write_between_markers(page, text)
        expected = f"above\n{BEGIN}\n\n{text}\n\n{END}\nbelow\n"
        assert page.read_text() == expected
    page.write_text(f"{END}\n{BEGIN}\n")
    with pytest.raises(DataError, match=r"page\.md: must have one line"):
        write_between_markers(page, "text")


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


def test_what_cannot_be_run_is_one_line(tmp_path, output):
    given = [f"--output={tmp_path}", "--models=star"]
    finished = run_program("benchmarks.zoo", f"--data=none:{tmp_path}", *given)
    assert f"--data=none:{tmp_path}" in error_line(finished)
    assert not list(tmp_path.iterdir())
    page = tmp_path / "page.md"
    page.write_text("no markers\n")
    for card, named in (
        (output / "card.json", "page.md: must have one line"),
        (output / "cells/shop/star/seed-1/config.json", "is no card"),
    ):
        finished = run_program(
            "write_tables", f"--card={card}", f"--pages={page}"
        )
        assert named in error_line(finished)
    assert page.read_text() == "no markers\n"


def test_help_is_light():
    assert_help_is_light("benchmarks.zoo")
