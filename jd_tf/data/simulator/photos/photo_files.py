"""Files of the photos of simulated products, and a list of them."""

import csv
import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from jd_tf.data.files import write_whole
from jd_tf.data.simulator.photos.drawing import draw_product
from jd_tf.data.simulator.shop.catalogue import Catalogue
from jd_tf.data.simulator.shop.words import CATEGORY_WORDS

CATALOGUE_FILE = "catalogue.csv"
IMAGE_FOLDER = "images"
_CHUNK = 250
_QUALITY = 92
_PHOTO_STREAM = 3


def draw_item(catalogue: Catalogue, seed: int, item: int) -> np.ndarray:
    """Draws the photo of an item number, (64, 64, 3) uint8."""
    return draw_product(
        int(catalogue.category[item]),
        catalogue.style[item],
        np.random.default_rng([seed, _PHOTO_STREAM, item]),
    )


def write_photos(
    catalogue: Catalogue,
    seed: int,
    folder: Path,
    run: Callable[[Callable, Iterable], Iterable],
    progress: bool = True,
) -> None:
    """Draws every product and writes a list of them.

    Args:
        catalogue: of the shop.
        seed: of the shop.
        folder: gets `images/<item_id>.jpg` and `catalogue.csv`, whose columns
            are item_id, path (from the list's folder), word, category_id,
            brand_id, late (1: arrives while logging), title, and the true
            style as s0, s1, ...
        run: a map that may use several processes.
        progress: shows a bar.
    """
    (folder / IMAGE_FOLDER).mkdir()
    count = catalogue.num_items
    tasks = [
        (catalogue, seed, range(first, min(first + _CHUNK, count)), folder)
        for first in range(0, count, _CHUNK)
    ]
    bar: dict[str, Any] = {"disable": not progress, "unit": "chunk"}
    for _ in tqdm(run(_draw, tasks), "photos", len(tasks), **bar):
        pass
    write_whole(folder / CATALOGUE_FILE, _table(catalogue).encode("utf-8"))


def _path(item: int) -> str:
    return f"{IMAGE_FOLDER}/{item + 1}.jpg"


def _draw(task: tuple[Catalogue, int, range, Path]) -> int:
    # Only the JPEG writer of TensorFlow is used here.
    import tensorflow as tf

    catalogue, seed, items, folder = task
    for item in items:
        pixels = draw_item(catalogue, seed, item)
        jpeg = tf.io.encode_jpeg(pixels, quality=_QUALITY).numpy()
        (folder / _path(item)).write_bytes(jpeg)
    return len(items)


def _table(catalogue: Catalogue) -> str:
    styles = [f"s{place}" for place in range(catalogue.style.shape[1])]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = ("word", "category_id", "brand_id", "late", "title")
    writer.writerow(["item_id", "path", *names, *styles])
    for item in range(catalogue.num_items):
        category = int(catalogue.category[item])
        writer.writerow(
            [
                item + 1,
                _path(item),
                CATEGORY_WORDS[category],
                category + 1,
                int(catalogue.brand[item]) + 1,
                int(catalogue.late[item]),
                catalogue.title(item),
                *(f"{number:.5f}" for number in catalogue.style[item]),
            ]
        )
    return text.getvalue()
