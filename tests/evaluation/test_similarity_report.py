"""The page of likeness: planted likeness is found, inputs are checked."""

import base64
import io
import json
import re

import matplotlib.image
import numpy as np
import pytest

from jd_tf.data.item_vectors import ItemVectors
from jd_tf.evaluation.similarity.catalogue import ItemStyles, read_styles
from jd_tf.evaluation.similarity.gate_use import GateUse
from jd_tf.evaluation.similarity.neighbours import (
    CATEGORY,
    STYLE,
    STYLE_WITHIN,
    measure_space,
)
from jd_tf.evaluation.similarity.report import write_similarity_report
from jd_tf.schema import DataError

NUM_ITEMS = 160


def _photos(folder, rng):
    """A shop whose photos are one colour a category; two files are broken."""
    rows = ["item_id,path,category_id,s0,s1,price"]
    category = rng.integers(1, 5, NUM_ITEMS)
    style = rng.normal(size=(NUM_ITEMS, 2))
    for item in range(1, NUM_ITEMS + 1):
        kind = category[item - 1]
        pixels = np.zeros((12, 9, 3), np.uint8)
        pixels[..., kind % 3] = 200
        path = folder / f"{item}.png"
        matplotlib.image.imsave(path, pixels)
        if item in (7, 8):
            path.write_bytes(b"no image")
        name = "" if item == 9 else path.name
        numbers = ",".join(f"{value:.6f}" for value in style[item - 1])
        rows.append(f"{item},{name},{kind},{numbers},3")
    (folder / "catalogue.csv").write_text("\n".join(rows))
    return category, style


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    rng = np.random.default_rng(0)
    category, style = _photos(folder, rng)
    noise = rng.normal(size=(NUM_ITEMS, 6))
    seen = np.concatenate([3 * np.eye(4)[category - 1], 2 * style], axis=1)
    ids = np.arange(1, NUM_ITEMS + 1)
    mixed = rng.permutation(NUM_ITEMS)[:-10]
    return {
        "folder": folder,
        "items": read_styles(folder / "catalogue.csv"),
        "category": category,
        "style": style,
        "spaces": {
            "before": ItemVectors(ids, noise.astype(np.float32)),
            "after <1>": ItemVectors(
                ids[mixed], (seen + 0.1 * noise)[mixed].astype(np.float32)
            ),
        },
    }


@pytest.fixture(scope="module")
def gates(tmp_path_factory):
    rng = np.random.default_rng(1)
    weights = rng.random((NUM_ITEMS, 2, 3))
    weights /= weights.sum(axis=2, keepdims=True)
    path = tmp_path_factory.mktemp("gates") / "gates.npz"
    np.savez(
        path,
        item_ids=np.arange(1, NUM_ITEMS + 1),
        gates=weights,
        consumers=np.array(["history", "candidate"]),
    )
    return path


@pytest.fixture(scope="module")
def written(shop, gates, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    metrics = write_similarity_report(
        folder, shop["spaces"], shop["items"], GateUse.load(gates), num_shown=6
    )
    page = (folder / "similarity.html").read_text(encoding="utf-8")
    return folder, metrics, page


def test_planted_likeness_is_found(written):
    folder, metrics, page = written
    before, after = (metrics[n]["neighbours"] for n in ("before", "after <1>"))
    for name in (CATEGORY, STYLE, STYLE_WITHIN):
        assert before[name]["mean"] == pytest.approx(
            before[name]["at_random"], abs=0.1
        )
        assert after[name]["mean"] > before[name]["mean"] + 0.1
        assert after[name]["gain"] > 2 * after[name]["gain_error"]
    assert json.loads((folder / "similarity.json").read_text()) == metrics
    assert "after &lt;1&gt;" in page


def test_precision_equals_brute_force_whatever_the_order_of_the_file(
    shop, written
):
    _, metrics, _ = written
    spaces, category = shop["spaces"], shop["category"]
    after = spaces["after <1>"]
    rows = {
        int(item): v
        for item, v in zip(after.item_ids, after.vectors, strict=True)
    }
    shares = []
    for item, vector in rows.items():
        order = sorted(
            (-(vector @ v) / np.linalg.norm(vector) / np.linalg.norm(v), other)
            for other, v in rows.items()
            if other != item
        )
        near = [other for _, other in order[:10]]
        same = category[np.array(near) - 1] == category[item - 1]
        shares.append(same.mean())
    found = metrics["after <1>"]["neighbours"][CATEGORY]
    assert found["mean"] == pytest.approx(np.mean(shares))
    error = np.std(shares, ddof=1) / np.sqrt(len(shares))
    assert found["standard_error"] == pytest.approx(error)


def test_the_page_needs_nothing_and_shows_photos(written):
    _, _, page = written
    assert "http" not in page
    assert "<script" not in page
    photos = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    assert len(photos) >= 6 * (1 + 2 * 10) - 40
    pixels = matplotlib.image.imread(
        io.BytesIO(base64.b64decode(photos[0])), format="jpeg"
    )
    assert pixels.shape == (72, 72, 3)
    assert "category information" in page


def test_chosen_queries_are_spread_over_categories(shop, tmp_path):
    write_similarity_report(
        tmp_path, shop["spaces"], shop["items"], num_shown=4, max_queries=60
    )
    page = (tmp_path / "similarity.html").read_text()
    shown = re.findall(
        r"1b1b1f; border-radius: 4px\"\s+alt=\"Item \d+ of category (\d)", page
    )
    assert sorted(shown) == ["1", "2", "3", "4"]


def test_words_are_styles_too(shop):
    items = shop["items"]
    words = np.where(items.style[:, 0] > 0, "red", "blue")
    named = ItemStyles(items.item_ids, items.paths, items.categories, words)
    vectors = np.stack([words == "red", words == "blue"], 1).astype(np.float32)
    found = measure_space(vectors, named, np.arange(NUM_ITEMS))
    assert found[STYLE].values.mean() == 1.0
    assert found[STYLE_WITHIN].values.mean() == 1.0


def test_a_folder_is_a_catalogue(tmp_path):
    for word, names in (("hat", ("1", "2")), ("shoe", ("3",))):
        (tmp_path / word).mkdir()
        for name in names:
            (tmp_path / word / f"{name}.jpg").write_bytes(b"x")
    found = read_styles(tmp_path)
    assert found.item_ids.tolist() == [1, 2, 3]
    assert found.categories.tolist() == ["hat", "hat", "shoe"]
    assert found.style is None
    with pytest.raises(DataError, match="no style columns"):
        read_styles(tmp_path, ["s0"])


@pytest.mark.parametrize(
    ("text", "style", "message"),
    [
        ("item_id,path\n1,a.jpg", None, "lacks a column of categories"),
        ("item_id,path,word\n1,a.jpg,", None, "item '1' has no `word`"),
        ("item_id,path,word\n1,a.jpg,hat", ["hue"], "lacks the column hue"),
        (
            "item_id,path,word,s0,s1\n1,a.jpg,hat,1,red",
            None,
            "several style columns must be numbers: s0, s1",
        ),
    ],
)
def test_bad_catalogues_are_named(tmp_path, text, style, message):
    path = tmp_path / "catalogue.csv"
    with pytest.raises(DataError, match="no such catalogue"):
        read_styles(path)
    path.write_text(text)
    with pytest.raises(DataError, match=rf"catalogue\.csv: {message}"):
        read_styles(path, style)


def test_vectors_of_other_items_are_refused(shop, tmp_path):
    ones = np.ones((2, 3), np.float32)
    for ids, message in (
        (np.array([900, 901]), "0 items are in the catalogue"),
        (np.array(["a", "b"]), "item ids are <U1"),
    ):
        with pytest.raises(DataError, match=message):
            write_similarity_report(
                tmp_path, {"x": ItemVectors(ids, ones)}, shop["items"]
            )
    assert not list(tmp_path.iterdir())
