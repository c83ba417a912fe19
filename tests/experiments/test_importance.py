"""Columns permuted: which matter to a ranker that is known."""

import json
from pathlib import Path

import numpy as np
import pytest

from experiments import column_importance
from experiments.column_importance import (
    column_permutations,
    importance_markdown,
    importance_picture,
    measure_importance,
)
from jd_tf.data.dataset import SplitWriter, new_folder, seal
from tests.experiments.programs import (
    assert_help_is_light,
    error_line,
    run_program,
)
from tests.models.test_jd_ranker import batch_of
from tests.requests import random_requests, small_schema

SCHEMA = small_schema()


class ByPrice:
    """Clicks follow the price alone; carts the first clicked category."""

    schema = SCHEMA

    def score(self, batch):
        price = batch["item_dense"][..., 0]
        first = batch["click_category_id"][:, :1] * (
            batch["click_length"][:, None] > 0
        )
        match = (batch["category_id"] == first) * 0.8 + 0.1
        click = 1 / (1 + np.exp(-(price - 9) / 9))
        return {"probabilities": np.stack([click, match, click * 0.5], -1)}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    requests = random_requests(SCHEMA, 120)
    for request in requests:
        labels = request["labels"]
        price = request["item_dense"][:, 0]
        labels[:, 0] = price > np.median(price)
        labels[:, 1:] *= labels[:, :1]
    folder = tmp_path_factory.mktemp("data") / "shop"
    with new_folder(folder) as path:
        with SplitWriter(path, "test", 1, SCHEMA) as writer:
            for request in requests:
                writer.write(request)
        seal(path, SCHEMA)
    return folder


@pytest.fixture
def found(data, monkeypatch):
    monkeypatch.setattr(column_importance, "load_trained", lambda _: ByPrice())
    monkeypatch.setattr(
        column_importance, "model_scorer", lambda model: model.score
    )
    return measure_importance(data, "run", "test", 100, 50, 1, lambda _: None)


def test_the_column_that_decides_is_worth_the_most(found):
    assert found["num_requests"] == 100
    price = found["columns"]["item_dense: price"]["click"]["auc"]
    low, high = price["interval"]
    assert 0.2 < low < price["difference"] < high
    for name, objectives in found["columns"].items():
        lost = objectives["click"]["auc"]["difference"]
        if name != "item_dense: price":
            assert lost == pytest.approx(0, abs=1e-9), name
    table = importance_markdown(found).splitlines()
    assert table[3].startswith("| `item_dense: price` | -0.")
    assert importance_picture(found).startswith(b"\x89PNG")
    json.dumps(found, allow_nan=False)


def test_only_the_columns_that_a_model_reads_change_it(found):
    moved = {
        name
        for name, objectives in found["columns"].items()
        if objectives["cart"]["auc"]["difference"] != 0
    }
    assert moved == {"click", "click_category_id", "category_id"}


def test_a_permutation_keeps_all_other_columns_and_the_padding():
    batch = {
        name: tensor.numpy()
        for name, tensor in batch_of(random_requests(SCHEMA, 9)).items()
    }
    permutations = column_permutations(SCHEMA)
    assert {"click", "order", "scenario", "brand_id"} <= set(permutations)
    assert "session_dense: carts" in permutations
    assert not any("time" in name for name in permutations)
    for name, permute in permutations.items():
        changed = permute(batch, np.random.default_rng(3))
        different = {
            n for n in batch if not np.array_equal(batch[n], changed[n])
        }
        column, _, feature = name.partition(": ")
        if name in ("click", "order"):
            assert f"{name}_length" in different
            assert all(n.startswith(f"{name}_") for n in different)
            continue
        assert different <= {column}, name
        before, after = batch[column], changed[column]
        if feature:
            assert (before != after).any(
                axis=tuple(range(before.ndim - 1))
            ).sum() == 1
        # The same values, real ones where real ones stood.
        flat = sorted(map(str, before.ravel())), sorted(map(str, after.ravel()))
        assert flat[0] == flat[1]
        length = SCHEMA.column(column).length
        if length:
            real = np.arange(before.shape[1]) < batch[length][:, None]
            np.testing.assert_array_equal(before[~real], after[~real])


def test_what_is_missing_is_one_line(tmp_path):
    taken = tmp_path / "file"
    taken.write_text("")
    given = [f"--data={tmp_path}", f"--workdir={tmp_path}"]
    finished = run_program("importance", *given, f"--output={taken}")
    assert f"--output={taken}: is a file" in error_line(finished)
    output = tmp_path / "new"
    finished = run_program("importance", *given, f"--output={output}")
    assert str(tmp_path) in error_line(finished)
    assert not Path(output).exists()
    assert_help_is_light("importance")
