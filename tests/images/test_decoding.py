"""Pixels out of every kind of file, and reasons out of the others."""

import numpy as np
import pytest
import tensorflow as tf

from jd_tf.images.decoding import (
    check_image,
    decode_image,
    find_broken,
    load_image,
    load_images,
    readable_images,
)
from jd_tf.schema import DataError
from tests.images.photos import (
    COLORS,
    broken_photos,
    encoded,
    gradient,
    odd_photos,
    photo,
    pixels_of,
)

SIZE = 16


@pytest.mark.parametrize("name", odd_photos())
def test_odd_images_look_as_they_do_elsewhere(name):
    """Pillow, another decoder, is the oracle."""
    contents = odd_photos()[name]
    found = decode_image(tf.constant(contents), image_size=64).numpy()
    expected = pixels_of(contents)
    assert found.shape == expected.shape == (40, 56, 3)
    difference = np.abs(found.astype(int) - expected.astype(int))
    assert difference.mean() < 2.0


def test_what_is_transparent_is_white():
    clear = gradient("RGBA")
    clear.putalpha(0)
    image = load_image(tf.constant(encoded(clear, "PNG")), SIZE)
    np.testing.assert_allclose(image, 255.0, atol=1e-3)


def test_a_large_photo_is_shrunk_while_it_is_decoded():
    """20 megapixels become a sixty-fourth before anything else happens."""
    contents = encoded(gradient(height=3648, width=5472), "JPEG")
    small = decode_image(tf.constant(contents), image_size=128)
    assert small.shape == (456, 684, 3)
    # Another shrinking, of the pixels at full size, shows the same picture.
    loaded = load_image(tf.constant(contents), 32).numpy()
    whole = pixels_of(contents).astype("float32")
    blocks = whole.reshape(32, 114, 32, 171, 3).mean(axis=(1, 3))
    assert np.abs(loaded - blocks).max() < 6.0


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (100, 300, (100, 300)),
        (96, 300, (96, 300)),
        (192, 192, (96, 96)),
        (500, 390, (125, 98)),
        (4000, 800, (500, 100)),
    ],
)
def test_enough_pixels_are_left_for_the_resize(height, width, expected):
    contents = encoded(gradient(height=height, width=width), "JPEG")
    found = decode_image(tf.constant(contents), image_size=64)
    assert found.shape[:2] == expected
    assert min(expected) >= min(1.5 * 64, height, width)


def test_shrinking_averages_instead_of_picking():
    stripes = np.zeros((64, 64, 3), np.uint8)
    # Two columns of four: the very two a resize by a quarter would pick.
    stripes[:, 1::4] = stripes[:, 2::4] = 255
    contents = tf.io.encode_png(stripes)
    image = load_image(contents, SIZE).numpy()
    assert np.abs(image[:, 1:-1] - 127.5).max() < 40


@pytest.mark.parametrize("name", broken_photos())
def test_broken_images_have_a_reason(tmp_path, name):
    contents, reason = broken_photos()[name]
    path = tmp_path / f"{name}.jpg"
    path.write_bytes(contents)
    assert reason in check_image(str(path))


def test_files_that_cannot_be_read_have_a_reason(tmp_path):
    assert check_image("") == "no path given"
    assert "No such file" in check_image(str(tmp_path / "missing.jpg"))
    assert "directory" in check_image(str(tmp_path))


def test_reading_leaves_out_what_is_broken_and_says_why(tmp_path):
    paths = []
    for number, name in enumerate(("good", *broken_photos(), "fine")):
        contents = photo(COLORS["hat"], number)
        if name in broken_photos():
            contents = broken_photos()[name][0]
        paths.append(str(tmp_path / f"{name} \u00fc.jpg"))
        (tmp_path / f"{name} \u00fc.jpg").write_bytes(contents)
    paths.insert(1, "")
    batches = list(readable_images(paths, SIZE, batch_size=2))
    found = np.concatenate([places for places, _ in batches])
    np.testing.assert_array_equal(found, [0, len(paths) - 1])
    broken = find_broken(paths, SIZE, found)
    assert sorted(broken) == list(range(1, len(paths) - 1))
    # The same pixels bare and within the pipeline.
    for image, place in zip(batches[0][1], found, strict=True):
        bare = load_image(tf.io.read_file(paths[place]), SIZE)
        np.testing.assert_array_equal(image, bare)


def test_a_file_that_is_being_written_is_no_broken_image(tmp_path):
    path = tmp_path / "now.jpg"
    path.write_bytes(photo(COLORS["hat"]))
    with pytest.raises(DataError, match=r"now.jpg.*being written"):
        find_broken([str(path)], SIZE, found=[])


def test_a_batch_may_hold_bytes_that_are_no_image():
    contents = [photo(COLORS["hat"]), b"", b"<html>", odd_photos()["grey"]]
    images, present = load_images(tf.constant(contents), SIZE)
    np.testing.assert_array_equal(present, [True, False, False, True])
    np.testing.assert_array_equal(images[1:3], 255.0)
    for place in (0, 3):
        alone = load_image(tf.constant(contents[place]), SIZE)
        np.testing.assert_array_equal(images[place], alone)


def test_no_image_at_all_is_an_empty_batch():
    images, present = load_images(tf.zeros((0,), tf.string), SIZE)
    assert images.shape == (0, SIZE, SIZE, 3)
    assert present.shape == (0,)
