"""Before the first step: broken images, and where weights come from."""

import csv

import pytest

from jd_tf.images import image_start
from jd_tf.images.image_list import read_labelled
from jd_tf.images.image_start import (
    BROKEN_FILE,
    start_weights,
    usable_images,
)
from jd_tf.images.image_tower import ImageTower
from jd_tf.images.image_weights import find_weights_file
from jd_tf.schema import DataError
from tests.images.photos import broken_photos, write_folder

SMALL = {"backbone": "small_cnn", "image_size": 16, "alpha": 0.25}
WORDS = ("hat", "shoe")


@pytest.fixture(name="photos")
def _photos(tmp_path):
    root = write_folder(tmp_path / "photos", {"train": 3, "validation": 2})
    for name, (contents, _) in broken_photos().items():
        (root / "train" / "hat" / f"broken_{name}.jpg").write_bytes(contents)
    return root


def test_broken_images_are_left_out_and_listed(photos, tmp_path):
    sets = read_labelled(photos)
    usable, num_broken = usable_images(sets, photos, tmp_path / "run", 16)
    assert num_broken == len(broken_photos())
    assert len(usable["train"]) == 9
    assert not any("/broken_" in path for path in usable["train"].paths)
    assert len(usable["validation"]) == 6
    with (tmp_path / "run" / BROKEN_FILE).open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == num_broken
    for row in rows:
        name = row["path"].split("/broken_")[1].removesuffix(".jpg")
        assert row["split"] == "train"
        assert broken_photos()[name][1] in row["reason"]


def test_a_resumed_run_looks_at_no_image_again(photos, tmp_path, monkeypatch):
    sets = read_labelled(photos)
    first = usable_images(sets, photos, tmp_path / "run", 16)
    monkeypatch.setattr(image_start, "read_images", None)
    again = usable_images(sets, photos, tmp_path / "run", 16)
    assert again[1] == first[1]
    assert again[0]["train"].paths == first[0]["train"].paths
    # Found elsewhere, they are the same images.
    moved = photos.rename(tmp_path / "moved")
    usable_images(read_labelled(moved), moved, tmp_path / "run", 16)
    (moved / "train" / "shoe" / "new.jpg").write_bytes(b"x")
    with pytest.raises(DataError, match="not the images the run"):
        usable_images(read_labelled(moved), moved, tmp_path / "run", 16)


def test_a_split_without_a_readable_image_is_an_error(tmp_path):
    photos = write_folder(tmp_path, {"train": 2, "validation": 1})
    for path in (photos / "validation").rglob("*.jpg"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"no image of `validation`.*empty"):
        usable_images(read_labelled(photos), photos, tmp_path / "run", 16)


def test_learns_from_scratch_and_says_so_without_asking_a_network(monkeypatch):
    def asked(tower):
        raise AssertionError("asked the network")

    monkeypatch.setattr(image_start, "download_weights", asked)
    small = {"backbone": "mobilenet_v2", "image_size": 32, "alpha": 0.35}
    known, said = start_weights(ImageTower(small, WORDS))
    assert known == ""
    assert "mobilenet_v2 has no published weights" in said
    assert "learns from scratch" in said
    assert "--download_weights was not asked for" in said


def test_says_why_a_download_failed(monkeypatch):
    monkeypatch.setattr(
        image_start, "download_weights", lambda tower: "no route to host"
    )
    tower = ImageTower({**SMALL, "backbone": "small_cnn"}, WORDS)
    monkeypatch.setattr(image_start, "find_weights_file", lambda *_: "")
    object.__setattr__(tower.config, "backbone", "resnet101")
    known, said = start_weights(tower, download=True)
    assert known == ""
    assert "could not be downloaded: no route to host" in said


def test_a_file_is_named_with_its_checksum(tmp_path):
    one, two = ImageTower(SMALL, WORDS), ImageTower(SMALL, WORDS)
    path = tmp_path / "mine.weights.h5"
    one.backbone.save_weights(path)
    known, said = start_weights(two, find_weights_file("small_cnn", str(path)))
    assert known.startswith("mine.weights.h5 (sha256 ")
    assert str(path) in said
