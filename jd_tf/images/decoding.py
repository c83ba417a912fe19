"""Image bytes to pixels, the same way in training, embedding and serving.

JPEG, PNG, GIF (its first frame) and BMP are read. Grey and CMYK become RGB,
alpha is laid on white, and a large JPEG is shrunk while it is decoded, so a
photo of 20 megapixels costs little more than a thumbnail. The picture is
stretched to a square: nothing is cut off, nothing is computed on borders.
A camera's rotation mark (EXIF) is not read.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import tensorflow as tf

from jd_tf.data.batches import without_autotune
from jd_tf.schema import DataError

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_HEADERS = (_JPEG, _PNG, b"GIF8", b"BM")
# What a JPEG can be shrunk by while it is decoded.
_RATIOS = (1, 2, 4, 8)
# Shrinking while decoding is coarse; this many pixels a pixel stay for the
# resize proper.
_SPARE = 1.5


def decode_image(contents: tf.Tensor, image_size: int) -> tf.Tensor:
    """Decodes the bytes of one file to (height, width, 3) uint8, RGB.

    A JPEG is decoded at an eighth, a quarter or half its size where that is
    still half as many pixels a side again as `image_size`. What is no image,
    or a truncated one, raises `tf.errors.InvalidArgumentError` when it runs.
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
    """Decodes one image to a square, (S, S, 3) float32 in 0 ... 255, RGB."""
    image, square = decode_image(contents, image_size), (image_size, image_size)
    # Without antialiasing a photo shrunk ten times keeps every tenth pixel.
    image = tf.image.resize(image, square, antialias=True)
    image.set_shape((*square, 3))
    return tf.clip_by_value(image, 0.0, 255.0)


def load_images(
    contents: tf.Tensor, image_size: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes a batch of bytes, (B,); bytes without an image header stay white.

    Returns (B, image_size, image_size, 3) float32 in 0 ... 255, and whether
    each one started like an image, (B,) bool.
    """
    present = _has_header(contents)
    shape = (image_size, image_size, 3)

    def load(pair: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        image = tf.cond(
            pair[1],
            lambda: load_image(pair[0], image_size),
            lambda: tf.fill(shape, 255.0),
        )
        image.set_shape(shape)
        return image

    spec = tf.TensorSpec(shape, tf.float32)
    images = tf.map_fn(load, (contents, present), fn_output_signature=spec)
    return images, present


def readable_images(
    paths: Sequence[str], image_size: int, batch_size: int, num_threads: int = 2
) -> tf.data.Dataset:
    """Reads files in order and leaves out those that cannot be read.

    Batches hold places in `paths`, (B,) int64, ascending, and images,
    (B, image_size, image_size, 3) float32.
    """
    # Names that are no UTF-8 included.
    names = tf.constant([os.fsencode(path) for path in paths], tf.string)
    places = tf.range(len(paths), dtype=tf.int64)
    dataset = tf.data.Dataset.from_tensor_slices((places, names)).map(
        lambda place, n: (place, load_image(tf.io.read_file(n), image_size)),
        num_parallel_calls=num_threads,
    )
    return without_autotune(dataset.ignore_errors().batch(batch_size))


def find_broken(
    paths: Sequence[str], image_size: int, found: Iterable[int]
) -> dict[int, str]:
    """Returns place -> reason of the files that `readable_images` left out.

    `found` are the places it gave. A file that can be read now is a
    DataError: it is being written, or the disk fails now and then.
    """
    broken = {}
    for place in sorted(set(range(len(paths))) - set(map(int, found))):
        broken[place] = check_image(paths[place], image_size)
        if not broken[place]:
            raise DataError(
                f"{paths[place]}: could not be read, and then could. Is it "
                "being written? Run again when it is finished."
            )
    return broken


def check_image(path: str, image_size: int = 32) -> str:
    """Returns why a file cannot be used, "" if it can."""
    if not path:
        return "no path given"
    try:
        contents = Path(path).read_bytes()
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    if not contents:
        return "empty file"
    if not bool(_has_header(tf.constant(contents))):
        return "neither JPEG, PNG, GIF nor BMP"
    try:
        load_image(tf.constant(contents), image_size)
    except tf.errors.OpError as error:
        first = error.message.split("[Op:")[0].strip().splitlines()[0]
        return f"cannot be decoded: {first.split('}}')[-1].strip()}"
    return ""


def _starts_with(contents: tf.Tensor, header: bytes) -> tf.Tensor:
    start = tf.strings.substr(contents, 0, len(header), unit="BYTE")
    return tf.equal(start, header)


def _has_header(contents: tf.Tensor) -> tf.Tensor:
    """Returns whether bytes (any shape, string) start like an image."""
    starts = [_starts_with(contents, header) for header in _HEADERS]
    return tf.reduce_any(tf.stack(starts), axis=0)


def _decode_jpeg(contents: tf.Tensor, image_size: int) -> tf.Tensor:
    short = tf.reduce_min(tf.io.extract_jpeg_shape(contents)[:2])
    enough = [short >= int(_SPARE * image_size * r) for r in _RATIOS[1:]]
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
