"""Predictions of other systems: they arrive as given, or not at all."""

import numpy as np
import pandas as pd
import pytest

from jd_tf.evaluation.collect import collect_predictions
from jd_tf.evaluation.fusion.predictions import FusionPredictions
from jd_tf.evaluation.predictions_file import PredictionsFile
from jd_tf.schema import DataError
from tests.evaluation.toy_shop import toy_batch, toy_schema

SCHEMA = toy_schema()


@pytest.fixture
def batch():
    return toy_batch(0, size=30)


def table_of(batch, seed=0):
    """A row an impression with random numbers, and those padded again."""
    rng = np.random.default_rng(seed)
    real = batch["label_weights"][..., 0] > 0
    chances = rng.random((*real.shape, 2)).astype("f4")
    rows = [
        {
            "request_id": batch["request_id"][b],
            "item_id": batch["item_id"][b, n],
            "click": chances[b, n, 0],
            "order": chances[b, n, 1],
        }
        for b, n in np.argwhere(real)
    ]
    return pd.DataFrame(rows), chances, real


def save(table, folder, name):
    path = folder / name
    if path.suffix == ".npz":
        arrays = {n: np.array(c.tolist()) for n, c in table.items()}
        np.savez(path, **arrays)
    else:
        separator = "\t" if ".tsv" in name else ","
        table.to_csv(path, sep=separator, index=False)
    return path


def shuffled(table):
    """Rows in another order; those of an item stay as they stood."""
    keys = table.groupby(["request_id", "item_id"]).cumcount()
    mixed = table.assign(turn=keys).sample(frac=1, random_state=0)
    return mixed.sort_values("turn", kind="stable").drop(columns="turn")


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.tsv.gz", "a.npz"])
@pytest.mark.parametrize("kind", ["probabilities", "scores", "order"])
def test_numbers_find_their_impressions(tmp_path, batch, name, kind):
    batch["item_id"][0, :2] = batch["item_id"][0, 0]  # an item shown twice
    batch["num_candidates"][0] = max(batch["num_candidates"][0], 2)
    table, chances, real = table_of(batch)
    renamed = {
        "probabilities": {},
        "scores": {"click": "click_score", "order": "order_score"},
        "order": {"click": "score"},
    }[kind]
    table = shuffled(table.rename(columns=renamed))
    if kind == "order":
        del table["order"]
    file = PredictionsFile(save(table, tmp_path, name), SCHEMA)
    found = collect_predictions([batch], SCHEMA, {"theirs": file.score})
    file.check_all_used()
    key, wanted = {
        "probabilities": ("probabilities", chances),
        "scores": ("objective_scores", chances),
        "order": ("score", chances[..., 0]),
    }[kind]
    (output,) = found.systems["theirs"].items()
    assert output[0] == key
    np.testing.assert_allclose(output[1][real], wanted[real], rtol=1e-6)
    click = found.evaluate(num_replicates=0)["theirs"]["click"]
    assert 0 < click["auc"] < 1
    assert (click["log_loss"] is None) == (kind != "probabilities")


def test_predictions_of_another_run_are_read(tmp_path, batch):
    _, chances, real = table_of(batch)
    chances *= real[..., None]
    score = {"probabilities": chances, "score": chances[..., 0]}
    scored = collect_predictions([batch], SCHEMA, {"ours": lambda _: score})
    path = tmp_path / "test.npz"
    FusionPredictions.of_run(scored, "ours").save(path)
    again = FusionPredictions.load(path)
    assert again.request_id.tolist() == batch["request_id"].tolist()
    np.testing.assert_array_equal(again.item_id, batch["item_id"])
    found = PredictionsFile(path, SCHEMA).score(batch)["probabilities"]
    np.testing.assert_array_equal(found[real], chances[real])


def judge(path, batch):
    file = PredictionsFile(path, SCHEMA)
    file.score(batch)
    file.check_all_used()


def drop_last(table):
    return table.iloc[:-1]


def repeat_first(table):
    return pd.concat([table, table.iloc[:1]])


def other_item(table):
    table.loc[0, "item_id"] = 999
    return table


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop_last, "request 'r0-29', item .*: 0 rows, but shown more"),
        (repeat_first, "1 rows are of no .* request 'r0-0', item"),
        (other_item, "request 'r0-0', item .*: 0 rows, but shown more"),
        (lambda t: t[t.request_id != "r0-7"], "'r0-7', .*0 rows"),
        (lambda t: t.assign(click=-0.1), "row 1, column `click`: .* 0 to 1"),
        (lambda t: t.assign(order="x"), "row 1, column `order`.*'x'"),
        (lambda t: t.assign(order=np.nan), "row 1, column `order`"),
        (lambda t: t.drop(columns="order"), "no column .'order'."),
        (lambda t: t.drop(columns=["order", "click"]), "of predictions"),
        (lambda t: t.drop(columns="item_id"), "no column .'item_id'."),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, batch, change, message):
    batch["item_id"] = np.where(
        batch["item_id"] > 0, batch["item_id"] * 10 + np.arange(6), 0
    )
    path = save(change(table_of(batch)[0]), tmp_path, "a.csv")
    with pytest.raises(DataError, match=message) as caught:
        judge(path, batch)
    assert str(path) in str(caught.value)


def test_requests_of_no_split_and_bad_files_are_refused(tmp_path, batch):
    table, _, _ = table_of(toy_batch(0, size=30))
    more = table.assign(request_id="other").iloc[:1]
    path = save(pd.concat([table, more]), tmp_path, "a.csv")
    file = PredictionsFile(path, SCHEMA)
    file.score(batch)
    with pytest.raises(DataError, match=r"1 rows .*'other'"):
        file.check_all_used()
    for name, text in (("b.npz", "no zip"), ("b.csv", "")):
        (tmp_path / name).write_text(text)
        with pytest.raises(DataError, match=r"b\.(npz: not an|csv: not)"):
            PredictionsFile(tmp_path / name, SCHEMA)
    for name in ("c.npz", "c.csv"):
        with pytest.raises(DataError, match=r"(?i)no such file"):
            PredictionsFile(tmp_path / name, SCHEMA)
