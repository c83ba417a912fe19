"""Training images: broken ones listed, batches the same whenever asked."""

import csv

import keras
import numpy as np
import pytest
import tensorflow as tf

from jd_tf.images.decoding import load_image
from jd_tf.images.fine_tuning_config import FineTuningConfig
from jd_tf.images.image_list import read_labelled
from jd_tf.images.image_tower import ImageTower
from jd_tf.images.training_images import (
    BROKEN_FILE,
    augmentation,
    balanced_weights,
    frequent_words,
    labelled_batches,
    title_tokens,
    usable_images,
    word_targets,
)
from jd_tf.schema import DataError
from tests.images.photos import COLORS, broken_photos, photo, write_folder

TITLES = ("Red hat", "red SHOE", "Blue shoe", "", "blue blue hat, new")
SMALL = {"backbone": "small_cnn", "image_size": 16, "alpha": 0.25}


def test_broken_images_are_left_out_and_listed(tmp_path):
    photos = write_folder(tmp_path / "photos", {"train": 3, "validation": 2})
    for name, (contents, _) in broken_photos().items():
        (photos / "train" / "hat" / f"broken_{name}.jpg").write_bytes(contents)
    sets = read_labelled(photos)
    usable, num_broken = usable_images(sets, tmp_path / "run", 16)
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


def test_a_split_without_a_readable_image_is_an_error(tmp_path):
    photos = write_folder(tmp_path, {"train": 2, "validation": 1})
    for path in (photos / "validation").rglob("*.jpg"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"no image of `validation`.*empty"):
        usable_images(read_labelled(photos), tmp_path / "run", 16)


def test_an_image_is_seen_differently_every_time_but_keeps_its_colour():
    image = load_image(tf.constant(photo(COLORS["shoe"])), 16)
    keras.utils.set_random_seed(3)
    layers = augmentation(0.5)
    seen = layers(tf.stack([image] * 20), training=True).numpy()
    assert seen.shape == (20, 16, 16, 3)
    assert seen.min() >= 0
    assert seen.max() <= 255
    # Green stays the strongest channel in any light.
    assert (seen.mean(axis=(1, 2)).argmax(axis=1) == 1).all()
    assert len({one.tobytes() for one in seen}) == 20
    np.testing.assert_array_equal(layers(image[None], training=False)[0], image)


def test_augmentation_shows_the_share_it_was_told():
    """A ramp of brightness, seen in part, spans less of its values."""
    ramp = np.tile(np.linspace(60, 190, 64)[:, None, None], (1, 64, 3))
    layers = keras.Sequential(augmentation(0.25).layers[1:3])
    seen = layers(np.stack([ramp] * 50).astype("float32"), training=True)
    seen = seen.numpy()
    spans = seen.max(axis=(1, 2, 3)) - seen.min(axis=(1, 2, 3))
    # Half of each side at least, but for what is mirrored at the border.
    assert spans.min() > 0.25 * 130
    assert spans.max() < 130.5
    assert spans.std() > 1


def test_batches_hold_targets_and_weights_by_output(tmp_path):
    rows = ["path,word,split,title"]
    for number in range(6):
        word = "hat" if number < 4 else "shoe"
        title = "" if number == 5 else f"{'red' if number % 2 else 'blue'} x"
        (tmp_path / f"{number}.jpg").write_bytes(photo(COLORS[word], number))
        rows.append(f"{number}.jpg,{word},train,{title}")
    rows.append("0.jpg,hat,validation,")
    (tmp_path / "words.csv").write_text("\n".join(rows))
    images = read_labelled(tmp_path / "words.csv", title_column="title")
    images = images["train"]
    tower = ImageTower(SMALL, images.label_names, ("blue", "red"))
    config = FineTuningConfig(batch_size=4)
    order = [5, 4, 3, 2, 1, 0]
    batches = labelled_batches(tower, images, config, 1.0, lambda: order)
    assert len(batches) == 2
    first, again = next(iter(batches)), next(iter(batches))
    tf.nest.map_structure(np.testing.assert_array_equal, first, again)
    pixels, targets, weights = first
    expected = load_image(tf.io.read_file(images.paths[5]), 16)
    np.testing.assert_array_equal(pixels[0], expected)
    np.testing.assert_array_equal(
        targets["logits"], [[0, 1], [0, 1], [1, 0], [1, 0]]
    )
    np.testing.assert_array_equal(
        targets["title_logits"], [[0, 0], [1, 0], [0, 1], [1, 0]]
    )
    np.testing.assert_allclose(weights["logits"], [1.5, 1.5, 0.75, 0.75])
    np.testing.assert_array_equal(weights["title_logits"], [0, 1, 1, 1])


def test_balance_counts_images_or_words():
    labels = [0] * 8 + [1] * 2
    np.testing.assert_allclose(balanced_weights(labels, 2, 0.0), [1, 1])
    even = balanced_weights(labels, 2, 1.0)
    assert even[0] * 8 == pytest.approx(even[1] * 2)
    between = balanced_weights(labels, 2, 0.5)
    assert 1 < between[1] / between[0] < even[1] / even[0]
    for weights in (even, between):
        assert np.bincount(labels) @ weights == pytest.approx(10)
    assert balanced_weights(labels, 3, 1.0)[2] == 0


def test_words_of_some_titles_are_learned():
    # "new" stands in one title only; a word twice in a title counts once.
    assert frequent_words(TITLES, 2) == ("blue", "hat", "red", "shoe")
    assert frequent_words(TITLES, 3) == ()
    # What all titles share tells nothing.
    assert frequent_words(("a hat", "a shoe", "a hat", "a shoe"), 1) == (
        "hat",
        "shoe",
    )


def test_the_words_of_a_title_share_one():
    words = ("blue", "hat", "red", "shoe")
    expected = [
        [0, 1 / 2, 1 / 2, 0],
        [0, 0, 1 / 2, 1 / 2],
        [1 / 2, 0, 0, 1 / 2],
        [0, 0, 0, 0],
        [1 / 2, 1 / 2, 0, 0],
    ]
    np.testing.assert_allclose(word_targets(TITLES, words), expected)


def test_titles_are_split_as_the_ranker_splits_them():
    assert title_tokens(["红色连衣裙 XL", "T-shirt"]) == [
        ["红色", "色连", "连衣", "衣裙", "xl"],
        ["t", "shirt"],
    ]


@pytest.mark.parametrize("titles", [(), ("", "")])
def test_no_titles_no_words(titles):
    assert frequent_words(titles, 1) == ()
    assert word_targets(titles, ()).shape == (len(titles), 0)
