"""Image bytes to pixels, the same way in training, embedding and serving.

JPEG, PNG, GIF (its first frame) and BMP are read. Grey and CMYK become RGB,
alpha is laid on white, and a large JPEG is shrunk while it is decoded, so a
photo of 20 megapixels costs little more than a thumbnail. The picture is
stretched to a square: nothing is cut off, nothing is computed on borders.
A camera's rotation mark (EXIF) is not read.
"""

import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from jd_tf.schema import DataError

_JPEG = b"\xff\xd8\xff"
_PNG = b"\x89PNG\r\n\x1a\n"
_HEADERS = (_JPEG, _PNG, b"GIF8", b"BM")
# What a JPEG can be shrunk by while it is decoded.
_RATIOS = (1, 2, 4, 8)
# Shrinking while decoding is coarse; this many pixels a pixel stay for the
# resize proper, and for crops of augmentation.
_SPARE = 1.5


def has_image_header(contents: tf.Tensor) -> tf.Tensor:
    """Whether bytes start like an image that can be read.

    Args:
        contents: any shape, string.

    Returns:
        The same shape, bool.
    """
    starts = [_starts_with(contents, header) for header in _HEADERS]
    return tf.reduce_any(tf.stack(starts), axis=0)


def decode_image(contents: tf.Tensor, image_size: int) -> tf.Tensor:
    """Decodes one image of any readable format.

    Args:
        contents: () string, the bytes of the file.
        image_size: pixels a side that it will be resized to; a JPEG is
            decoded at an eighth, a quarter or half its size where that is
            still half as many again.

    Returns:
        (height, width, 3) uint8, RGB.

    Raises:
        tf.errors.InvalidArgumentError: when it runs, on what is no image, or
            a truncated one.
    """
    image = tf.cond(
        _starts_with(contents, _JPEG),
        lambda: _decode_jpeg(contents, image_size),
        lambda: tf.cond(
            _starts_with(contents, _PNG),
            lambda: _decode_png(contents),
            lambda: tf.io.decode_image(
                contents, channels=3, expand_animations=False
            ),
        ),
    )
    image.set_shape((None, None, 3))
    return image


def load_image(contents: tf.Tensor, image_size: int) -> tf.Tensor:
    """Decodes one image and stretches it to a square.

    Args:
        contents: () string, the bytes of the file.
        image_size: pixels a side.

    Returns:
        (image_size, image_size, 3) float32 in 0 ... 255, RGB.
    """
    return _square(decode_image(contents, image_size), image_size)


def load_images(
    contents: tf.Tensor, image_size: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes a batch; what does not start like an image is left white.

    Args:
        contents: (B,) string, the bytes of each file; empty for none.
        image_size: pixels a side.

    Returns:
        Images, (B, image_size, image_size, 3) float32 in 0 ... 255, and
        whether each one started like an image, (B,) bool.

    Raises:
        tf.errors.InvalidArgumentError: when it runs, on bytes that start
            like an image and are none.
    """
    present = has_image_header(contents)
    shape = (image_size, image_size, 3)

    def load(pair: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        image = tf.cond(
            pair[1],
            lambda: load_image(pair[0], image_size),
            lambda: tf.fill(shape, 255.0),
        )
        image.set_shape(shape)
        return image

    images = tf.map_fn(
        load,
        (contents, present),
        fn_output_signature=tf.TensorSpec(shape, tf.float32),
    )
    return images, present


def read_images(
    paths: Sequence[str],
    image_size: int,
    batch_size: int,
    num_threads: int = 2,
    prefetch: int = 0,
) -> tf.data.Dataset:
    """Reads files in order and leaves out those that cannot be read.

    Args:
        paths: the files.
        image_size: pixels a side.
        batch_size: B; the last batch may be smaller.
        num_threads: files decoded at a time.
        prefetch: batches decoded ahead, for a machine whose network runs on
            an accelerator.

    Returns:
        Batches of `place` (B,) int64, ascending places in `paths`, and
        `image` (B, image_size, image_size, 3) float32.
    """
    dataset = tf.data.Dataset.from_tensor_slices(
        (tf.range(len(paths), dtype=tf.int64), path_tensor(paths))
    )
    dataset = dataset.map(_reader(image_size), num_parallel_calls=num_threads)
    dataset = dataset.ignore_errors().batch(batch_size).prefetch(prefetch)
    return dataset.with_options(quiet_options())


def check_image(path: str, image_size: int = 32) -> str:
    """Reads one file.

    Args:
        path: the file; "" for none.
        image_size: as for `decode_image`.

    Returns:
        Why it cannot be used, "" if it can.
    """
    if not path:
        return "no path given"
    file = Path(path)
    try:
        contents = file.read_bytes()
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    if not contents:
        return "empty file"
    if not bool(has_image_header(tf.constant(contents))):
        return "neither JPEG, PNG, GIF nor BMP"
    try:
        load_image(tf.constant(contents), image_size)
    except tf.errors.OpError as error:
        first = error.message.split("[Op:")[0].strip().splitlines()[0]
        first = first.split("}}")[-1].strip()
        return f"cannot be decoded: {first}"
    return ""


def find_broken(
    paths: Sequence[str], image_size: int, found: Sequence[int]
) -> dict[int, str]:
    """Says why images are missing from what `read_images` gave.

    Args:
        paths: as given to it.
        image_size: as given to it.
        found: places it gave.

    Returns:
        Place -> reason for every other place.

    Raises:
        DataError: if a file that was left out can be read now: it is being
            written, or the disk fails now and then.
    """
    broken = {}
    for place in sorted(set(range(len(paths))) - set(map(int, found))):
        reason = check_image(paths[place], image_size)
        if not reason:
            raise DataError(
                f"{paths[place]}: could not be read, and then could. Is it "
                "being written? Run again when it is finished."
            )
        broken[place] = reason
    return broken


def path_tensor(paths: Sequence[str]) -> tf.Tensor:
    """File names as bytes, those that are no UTF-8 included."""
    return tf.constant([os.fsencode(path) for path in paths], tf.string)


def quiet_options() -> tf.data.Options:
    """No autotuning: it can idle for seconds when an iterator ends."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return options


@functools.lru_cache
def _reader(image_size: int) -> Any:
    """Traced once a process, not once a pass."""

    @tf.function(autograph=False)
    def read(place: tf.Tensor, path: tf.Tensor) -> dict[str, tf.Tensor]:
        image = load_image(tf.io.read_file(path), image_size)
        return {"place": place, "image": image}

    return read


def _starts_with(contents: tf.Tensor, header: bytes) -> tf.Tensor:
    start = tf.strings.substr(contents, 0, len(header), unit="BYTE")
    return tf.equal(start, header)


def _decode_jpeg(contents: tf.Tensor, image_size: int) -> tf.Tensor:
    short_side = tf.reduce_min(tf.io.extract_jpeg_shape(contents)[:2])
    enough = [
        short_side >= int(_SPARE * image_size * ratio) for ratio in _RATIOS[1:]
    ]
    decoders = [
        lambda ratio=ratio: tf.io.decode_jpeg(contents, channels=3, ratio=ratio)
        for ratio in _RATIOS
    ]
    chosen = tf.reduce_sum(tf.cast(tf.stack(enough), tf.int32))
    return tf.switch_case(chosen, decoders)


def _decode_png(contents: tf.Tensor) -> tf.Tensor:
    image = tf.cast(tf.io.decode_png(contents, channels=4), tf.float32)
    alpha = image[..., 3:] / 255.0
    on_white = image[..., :3] * alpha + 255.0 * (1.0 - alpha)
    return tf.cast(tf.round(on_white), tf.uint8)


def _square(image: tf.Tensor, image_size: int) -> tf.Tensor:
    # Without antialiasing a photo shrunk ten times keeps every tenth pixel.
    resized = tf.image.resize(image, (image_size, image_size), antialias=True)
    resized = tf.clip_by_value(resized, 0.0, 255.0)
    resized.set_shape((image_size, image_size, 3))
    return resized
