"""Training batches of images: the same whenever asked."""

import numpy as np
import pytest
import tensorflow as tf

from jd_tf.images.decoding import decode_image
from jd_tf.images.image_augmentation import augment, training_batches
from jd_tf.images.image_list import read_labelled
from jd_tf.schema import DataError
from tests.images.photos import COLORS, photo, write_folder

SIZE = 12


@pytest.fixture(scope="module", name="images")
def _images(tmp_path_factory):
    root = write_folder(tmp_path_factory.mktemp("photos"))
    return read_labelled(root)["train"]


def _all(images, **options):
    batches = training_batches(images, SIZE, 5, seed=3, **options)
    return [(b["image"].numpy(), b["label"].numpy()) for b in batches]


def _same(one, two):
    assert len(one) == len(two)
    for (pixels, labels), (others, their_labels) in zip(one, two, strict=True):
        np.testing.assert_array_equal(pixels, others)
        np.testing.assert_array_equal(labels, their_labels)


def test_a_pass_is_the_same_whenever_asked(images):
    _same(_all(images, epoch=1), _all(images, epoch=1))


@pytest.mark.parametrize("skipped", [1, 3, 4])
def test_skipping_gives_the_rest_of_the_pass(images, skipped):
    _same(_all(images, skip_batches=skipped), _all(images)[skipped:])


def test_every_pass_differs_and_shows_every_image_once(images):
    assert len(images) == 24
    passes = [_all(images, epoch=epoch) for epoch in (0, 1)]
    for one in passes:
        # 24 = 4 * 5 + 4: four images wait for another pass.
        assert [len(labels) for _, labels in one] == [5] * 4
        counts = np.bincount(np.concatenate([labels for _, labels in one]))
        assert counts.sum() == 20
        assert (counts <= 8).all()
    first, second = (np.concatenate([p for p, _ in one]) for one in passes)
    assert np.abs(first - second).mean() > 1


def test_an_image_is_seen_differently_every_time_but_keeps_its_colour():
    image = decode_image(tf.constant(photo(COLORS["shoe"])), SIZE)
    seen = [augment(image, (0, n), SIZE, 0.5).numpy() for n in range(20)]
    for one in seen:
        assert one.shape == (SIZE, SIZE, 3)
        assert one.min() >= 0
        assert one.max() <= 255
        # Green stays the strongest channel in any light.
        assert one.mean(axis=(0, 1)).argmax() == 1
    assert len({one.tobytes() for one in seen}) == 20


def test_says_when_the_images_do_not_fill_a_batch(images):
    with pytest.raises(DataError, match=r"24 training images .* batch of 25"):
        training_batches(images, SIZE, 25, seed=0)
