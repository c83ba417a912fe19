"""Training batches of images, each seen a little differently every time."""

import functools
from typing import Any

import numpy as np
import tensorflow as tf

from jd_tf.images.decoding import decode_image, path_tensor, quiet_options
from jd_tf.images.image_list import LabelledImages
from jd_tf.schema import DataError

_ASPECT_RATIOS = (3 / 4, 4 / 3)
# Images decoded ahead of the step; the step takes longer than they do.
_BATCHES_AHEAD = 2


def augment(
    image: tf.Tensor, seed: tf.Tensor, image_size: int, min_area: float
) -> tf.Tensor:
    """A random part of an image, mirrored or not, in another light.

    Args:
        image: (height, width, 3) uint8.
        seed: (2,) integers; the same seed gives the same pixels.
        image_size: pixels a side of the result.
        min_area: the smallest share of the image to show.

    Returns:
        (image_size, image_size, 3) float32 in 0 ... 255.
    """
    seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 5), axis=0)
    begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.shape(image),
        tf.zeros((1, 0, 4)),
        seeds[0],
        min_object_covered=0.0,
        aspect_ratio_range=_ASPECT_RATIOS,
        area_range=(min_area, 1.0),
        use_image_if_no_bounding_boxes=True,
    )
    image = tf.slice(image, begin, size)
    image = tf.image.resize(image, (image_size, image_size), antialias=True)
    image = tf.image.stateless_random_flip_left_right(image, seeds[1])
    # Not the hue: in clothes it is what the picture is about.
    image = image / 255.0
    image = tf.image.stateless_random_brightness(image, 0.2, seeds[2])
    image = tf.image.stateless_random_contrast(image, 0.7, 1.3, seeds[3])
    image = tf.image.stateless_random_saturation(image, 0.7, 1.3, seeds[4])
    image = 255.0 * tf.clip_by_value(image, 0.0, 1.0)
    image.set_shape((image_size, image_size, 3))
    return image


def training_batches(
    images: LabelledImages,
    image_size: int,
    batch_size: int,
    seed: int,
    epoch: int = 0,
    skip_batches: int = 0,
    min_area: float = 0.5,
    num_threads: int = 2,
) -> tf.data.Dataset:
    """One pass over the images, the same whenever asked.

    Args:
        images: all readable.
        image_size: pixels a side.
        batch_size: B. What does not fill a last batch waits for another
            epoch: batch statistics of one or two images would be noise.
        seed: with `epoch`, decides order and augmentation.
        epoch: which pass.
        skip_batches: batches already seen; they are not decoded.
        min_area: as for `augment`.
        num_threads: files decoded at a time.

    Returns:
        Batches of `image` (B, image_size, image_size, 3) float32, `label` and
        `place` (B,) int64, the latter among `images`.

    Raises:
        DataError: if there are fewer images than a batch takes.
    """
    if len(images) < batch_size:
        raise DataError(
            f"{len(images)} training images do not fill a batch of "
            f"{batch_size}. Give a smaller --batch_size or more images."
        )
    order = np.random.default_rng((seed, epoch)).permutation(len(images))
    num_batches = len(images) // batch_size
    order = order[skip_batches * batch_size : num_batches * batch_size]
    chosen = images.take(order)

    # A seed of its own for each image of each epoch.
    seeds = np.full(len(order), seed * 1_000_003 + epoch, np.int64)
    dataset = tf.data.Dataset.from_tensor_slices(
        (
            np.stack([seeds, order], axis=1),
            path_tensor(chosen.paths),
            chosen.labels,
        )
    )
    reader = _reader(image_size, min_area)
    dataset = dataset.map(reader, num_parallel_calls=num_threads)
    dataset = dataset.batch(batch_size).prefetch(_BATCHES_AHEAD)
    return dataset.with_options(quiet_options())


@functools.lru_cache
def _reader(image_size: int, min_area: float) -> Any:
    """Traced once a process, not once a pass."""

    @tf.function(autograph=False)
    def read(key: Any, path: Any, label: Any) -> dict[str, tf.Tensor]:
        image = decode_image(tf.io.read_file(path), image_size)
        return {
            "image": augment(image, key, image_size, min_area),
            "label": label,
            "place": key[1],
        }

    return read
