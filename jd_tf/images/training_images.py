"""Images of a run: the readable ones, in batches, seen anew every time."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
import tqdm

from jd_tf.data.files import write_whole
from jd_tf.images.decoding import (
    find_broken,
    load_image,
    readable_images,
    without_autotune,
)
from jd_tf.images.fine_tuning_config import FineTuningConfig
from jd_tf.images.image_list import LabelledImages
from jd_tf.images.image_tower import ImageTower
from jd_tf.images.title_words import word_targets
from jd_tf.schema import DataError

BROKEN_FILE = "broken_images.csv"
_BATCH = 64
# Images decoded ahead of the step; the step takes longer than they do.
_BATCHES_AHEAD = 2


def usable_images(
    sets: Mapping[str, LabelledImages],
    workdir: str | Path,
    image_size: int,
    num_threads: int = 2,
    progress: bool = False,
) -> tuple[dict[str, LabelledImages], int]:
    """Leaves out the images that cannot be read, and lists them in a file.

    Args:
        sets: split -> images.
        workdir: gets `broken_images.csv`.
        image_size: pixels a side.
        num_threads: files decoded at a time.
        progress: whether to show a bar.

    Returns:
        Split -> readable images, and how many were left out.

    Raises:
        DataError: if no image of a split to learn from can be read.
    """
    usable, rows = {}, []
    for split, images in sets.items():
        batches = readable_images(images.paths, image_size, _BATCH, num_threads)
        bar = tqdm.tqdm(batches, f"reading {split}", disable=not progress)
        found = [int(place) for places, _ in bar for place in places]
        broken = find_broken(images.paths, image_size, found)
        rows += [(split, images.paths[p], why) for p, why in broken.items()]
        usable[split] = images.take(found)
        if broken and not found and split != "test":
            raise DataError(
                f"no image of `{split}` can be read; {rows[-1][1]}: "
                f"{rows[-1][2]}."
            )
    table = pd.DataFrame(rows, columns=["split", "path", "reason"])
    text = table.to_csv(index=False).encode("utf-8", "surrogateescape")
    write_whole(Path(workdir) / BROKEN_FILE, text)
    return usable, len(rows)


def augmentation(min_area: float) -> keras.Sequential:
    """Builds layers that show a random part of an image in another light.

    They take and give (B, H, W, 3) float in 0 ... 255; `min_area` is the
    smallest share of the image to show.
    """
    side = 1.0 - min_area**0.5
    layers = keras.layers
    return keras.Sequential(
        [
            layers.RandomFlip("horizontal"),
            layers.RandomTranslation(side / 4, side / 4),
            layers.RandomZoom((-side, 0.0), (-side, 0.0)),
            # Not hue or saturation: colours are what clothes are about.
            layers.RandomBrightness(0.2, value_range=(0, 255)),
            layers.RandomContrast(0.3, value_range=(0, 255)),
        ],
        name="augmentation",
    )


def labelled_batches(
    tower: ImageTower,
    images: LabelledImages,
    config: FineTuningConfig,
    class_balance: float,
    order: Callable[[], Sequence[int] | np.ndarray],
) -> tf.data.Dataset:
    """Reads images with the targets and weights that the losses take.

    Args:
        tower: whose classifiers learn.
        images: all readable.
        config: of the run.
        class_balance: as of `balanced_weights`.
        order: called at the begin of a pass: places of the images to read.

    Returns:
        Batches of images (B, S, S, 3), and of targets and weights by output.
    """
    num_classes, size = len(images.label_names), tower.config.image_size
    weights = balanced_weights(images.labels, num_classes, class_balance)
    words = np.zeros((len(images), 0), np.float32)
    if tower.title_words:
        words = word_targets(images.titles, tower.title_words)

    def rows() -> Iterator[tuple[Any, ...]]:
        for place in order():
            label, path = images.labels[place], images.paths[place]
            yield os.fsencode(path), label, weights[label], words[place]

    def read(path: Any, label: Any, weight: Any, words: Any) -> tuple[Any, ...]:
        targets = {"logits": tf.one_hot(label, num_classes)}
        counts = {"logits": weight}
        if tower.title_words:
            targets["title_logits"] = words
            # A title without a known word teaches nothing.
            counts["title_logits"] = tf.reduce_max(tf.sign(words))
        return load_image(tf.io.read_file(path), size), targets, counts

    spec = tf.TensorSpec
    dataset = tf.data.Dataset.from_generator(
        rows,
        output_signature=(
            spec((), tf.string),
            spec((), tf.int64),
            spec((), tf.float32),
            spec(words.shape[1:], tf.float32),
        ),
    )
    dataset = dataset.map(read, num_parallel_calls=config.num_threads)
    dataset = dataset.batch(config.batch_size).prefetch(_BATCHES_AHEAD)
    num_batches = -(-len(order()) // config.batch_size)
    dataset = dataset.apply(
        tf.data.experimental.assert_cardinality(num_batches)
    )
    return without_autotune(dataset)


def balanced_weights(
    labels: Sequence[int] | np.ndarray, num_classes: int, class_balance: float
) -> np.ndarray:
    """Returns the weight of an image of each class, (C,), 1 on average.

    `class_balance` is the power of the inverse frequency: 0 for 1 each, 1 for
    the same total of every class.
    """
    counts = np.bincount(labels, minlength=num_classes).astype("float64")
    weights = np.where(counts > 0, np.maximum(counts, 1) ** -class_balance, 0.0)
    return weights * counts.sum() / (weights @ counts)
