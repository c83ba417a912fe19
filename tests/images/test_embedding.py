"""A catalogue becomes vectors; what has no readable photo is listed."""

import csv
import json

import numpy as np
import pytest
import tensorflow as tf

from jd_tf.data.item_vectors import ItemVectors
from jd_tf.images import image_tower
from jd_tf.images.decoding import load_image
from jd_tf.images.embedding import embed_catalogue
from jd_tf.images.image_list import read_catalogue
from jd_tf.images.image_tower import ImageTower
from jd_tf.schema import DataError
from tests.images.photos import COLORS, broken_photos, odd_photos, photo

SMALL = {"backbone": "small_cnn", "image_size": 16, "alpha": 0.25}
META = {"backbone": "small_cnn"}


@pytest.fixture(scope="module", name="tower")
def _tower():
    return ImageTower(SMALL, ("hat", "shoe"))


@pytest.fixture(name="catalogue")
def _catalogue(tmp_path):
    """Good, odd, broken and missing photos, as a table of numbered items."""
    rows = []
    contents = {f"plain{n}": photo(COLORS["hat"], n) for n in range(3)}
    contents |= odd_photos()
    contents |= {name: made for name, (made, _) in broken_photos().items()}
    for number, (name, made) in enumerate(contents.items(), start=1):
        (tmp_path / f"{name}.jpg").write_bytes(made)
        rows.append(f"{number},{name}.jpg")
    rows.insert(4, "77,never_taken.jpg")
    rows.append("78,")
    table = tmp_path / "catalogue.csv"
    table.write_text("item_id,path\n" + "\n".join(rows) + "\n")
    return read_catalogue(table)


def _embed(tower, catalogue, output, **options):
    options = {"batch_size": 3, "chunk_size": 5, **options}
    return embed_catalogue(tower, catalogue, output, META, **options)


def test_every_readable_photo_and_no_other_has_a_vector(
    tower, catalogue, tmp_path
):
    output = tmp_path / "out" / "vectors.npz"
    report = _embed(tower, catalogue, output)
    found = ItemVectors.load(output)
    assert found.width == 64
    num_bad = len(broken_photos()) + 2
    assert len(found) == len(catalogue) - num_bad
    assert (report.num_embedded, report.num_without) == (len(found), num_bad)
    assert found.meta == {**META, "num_without_image": num_bad}
    paths = dict(zip(catalogue.item_ids, catalogue.paths, strict=True))
    for item_id, vector in zip(found.item_ids, found.vectors, strict=True):
        image = load_image(tf.io.read_file(paths.pop(item_id)), 16)
        expected = tower(image[None], training=False)["embedding"][0]
        np.testing.assert_allclose(vector, expected, atol=1e-4)
    with open(f"{output}.no_image.csv") as file:
        listed = {int(row["item_id"]): row for row in csv.DictReader(file)}
    assert set(listed) == set(paths) >= {77, 78}
    assert "No such file" in listed[77]["reason"]
    assert listed[78]["reason"] == "no path given"
    assert "empty file" in {row["reason"] for row in listed.values()}
    assert report.seconds > 0
    names = {path.name for path in output.parent.iterdir()}
    assert names == {"vectors.npz", "vectors.npz.no_image.csv"}


def test_goes_on_where_it_was_killed(tower, catalogue, tmp_path, monkeypatch):
    whole, broken = tmp_path / "whole.npz", tmp_path / "killed.npz"
    _embed(tower, catalogue, whole)
    read = image_tower.readable_images
    calls = []

    def counted(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return read(*arguments)

    monkeypatch.setattr(image_tower, "readable_images", counted)
    with pytest.raises(KeyboardInterrupt):
        _embed(tower, catalogue, broken)
    assert not broken.exists()
    parts = tmp_path / "killed.npz.parts"
    assert len(list(parts.glob("*.npz"))) == 2
    report = _embed(tower, catalogue, broken)
    assert report.num_resumed == 10
    assert not parts.exists()
    # The chunks that were there were not read again.
    assert len(calls) == 3 + -(-len(catalogue) // 5) - 2
    one, two = ItemVectors.load(whole), ItemVectors.load(broken)
    np.testing.assert_array_equal(one.item_ids, two.item_ids)
    np.testing.assert_array_equal(one.vectors, two.vectors)


def test_chunks_of_another_job_are_not_mixed_in(tower, catalogue, tmp_path):
    output = tmp_path / "vectors.npz"
    parts = tmp_path / "vectors.npz.parts"
    parts.mkdir()
    (parts / "job.json").write_text(json.dumps({"job": "another"}))
    with pytest.raises(DataError, match="chunks of another job"):
        _embed(tower, catalogue, output)


def test_an_output_is_replaced_only_if_told_to(tower, catalogue, tmp_path):
    output = tmp_path / "vectors.npz"
    output.write_bytes(b"precious")
    with pytest.raises(DataError, match="is there already"):
        _embed(tower, catalogue, output)
    assert output.read_bytes() == b"precious"
    _embed(tower, catalogue, output, overwrite=True)
    assert len(ItemVectors.load(output))


def test_no_readable_photo_at_all_is_an_error_with_a_list(tower, tmp_path):
    for name, (contents, _) in broken_photos().items():
        (tmp_path / f"{name}.jpg").write_bytes(contents)
    catalogue = read_catalogue(tmp_path)
    output = tmp_path / "out" / "vectors.npz"
    with pytest.raises(DataError, match="none of 5 images can be read"):
        _embed(tower, catalogue, output)
    assert not output.exists()
    listed = output.with_name("vectors.npz.no_image.csv").read_text()
    assert len(listed.splitlines()) == 6
