"""Images and title words of a run: readable ones, in batches, augmented."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
import tqdm

from jd_tf.data.batches import without_autotune
from jd_tf.data.files import write_whole
from jd_tf.images.decoding import find_broken, load_image, readable_images
from jd_tf.images.fine_tuning_config import FineTuningConfig
from jd_tf.images.image_list import LabelledImages
from jd_tf.images.image_tower import ImageTower
from jd_tf.layers.embedding.text_tokens import tokenize
from jd_tf.schema import DataError

BROKEN_FILE = "broken_images.csv"
_BATCH = 64
# Images decoded ahead of the step; the step takes longer than they do.
_BATCHES_AHEAD = 2
_MAX_TOKENS, _TITLES = 64, 4096


def usable_images(
    sets: Mapping[str, LabelledImages],
    workdir: str | Path,
    image_size: int,
    num_threads: int = 2,
    progress: bool = False,
) -> tuple[dict[str, LabelledImages], int]:
    """Leaves out the images that cannot be read, and counts them.

    They are listed in `broken_images.csv` of `workdir`. A split to learn from
    without any readable image is a DataError.
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

    `order` is called at the begin of a pass: places of the images to read.
    Batches hold images (B, S, S, 3), and targets and weights by output.
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


def frequent_words(titles: Sequence[str], min_images: int) -> tuple[str, ...]:
    """Returns the words of `min_images` to all but `min_images` titles, sorted.

    A word of a few titles names these photos, not what they show; a word of
    all titles tells nothing.
    """
    counts = Counter(w for words in title_tokens(titles) for w in set(words))
    most = len(titles) - min_images
    return tuple(
        sorted(w for w, n in counts.items() if min_images <= n <= most)
    )


def word_targets(titles: Sequence[str], words: Sequence[str]) -> np.ndarray:
    """Returns (P, W) float32: the W words in a title share 1, if any."""
    places = {word: place for place, word in enumerate(words)}
    targets = np.zeros((len(titles), len(words)), np.float32)
    for target, tokens in zip(targets, title_tokens(titles), strict=True):
        target[[places[token] for token in tokens if token in places]] = 1.0
    return targets / np.maximum(targets.sum(axis=1, keepdims=True), 1.0)


def title_tokens(titles: Sequence[str]) -> list[list[str]]:
    """Splits titles as the ranker's `TextEncoder` does."""
    found = []
    for start in range(0, len(titles), _TITLES):
        chunk = tf.constant(list(titles[start : start + _TITLES]), tf.string)
        for tokens in tokenize(chunk, _MAX_TOKENS).to_list():
            found.append([token.decode("utf-8") for token in tokens])
    return found
