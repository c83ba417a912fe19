"""Writes the photos of the simulated products and a list of them."""

import csv
import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from jd_tf.data.files import write_whole

if TYPE_CHECKING:
    from jd_tf.data.simulator.simulator import Simulator

CATALOGUE_FILE = "catalogue.csv"
IMAGE_FOLDER = "images"
_CHUNK = 250
_QUALITY = 92


def write_photos(
    simulator: "Simulator",
    folder: Path,
    run: Callable[[Callable, Iterable], Iterable],
    progress: bool = True,
) -> None:
    """Draws every product and lists what the shop knows of it.

    Args:
        simulator: the shop.
        folder: gets `images/<item_id>.jpg` and `catalogue.csv`, whose columns
            are item_id, path (from the list's folder), word, category_id,
            brand_id, late (1: arrives while logging), title, and the true
            style as s0, s1, ...
        run: a map that may use several processes.
        progress: whether to show a bar.
    """
    (folder / IMAGE_FOLDER).mkdir()
    count = simulator.config.num_items
    tasks = [
        (simulator, range(first, min(first + _CHUNK, count + 1)), folder)
        for first in range(1, count + 1, _CHUNK)
    ]
    bar = {"disable": not progress, "unit": "chunk"}
    for _ in tqdm(run(_draw, tasks), "photos", len(tasks), **bar):
        pass
    write_whole(folder / CATALOGUE_FILE, _catalogue(simulator).encode("utf-8"))


def photo_path(item_id: int) -> str:
    """Where an item's photo lies, from the data folder."""
    return f"{IMAGE_FOLDER}/{item_id}.jpg"


def _draw(task: tuple["Simulator", range, Path]) -> int:
    # Simulating needs no TensorFlow; only its JPEG writer is used here.
    import tensorflow as tf

    simulator, item_ids, folder = task
    for item_id in item_ids:
        pixels = simulator.draw_image(item_id)
        jpeg = tf.io.encode_jpeg(pixels, quality=_QUALITY).numpy()
        (folder / photo_path(item_id)).write_bytes(jpeg)
    return len(item_ids)


def _catalogue(simulator: "Simulator") -> str:
    known = simulator.catalogue
    styles = [f"s{place}" for place in range(known.style.shape[1])]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = ("word", "category_id", "brand_id", "late", "title")
    writer.writerow(["item_id", "path", *names, *styles])
    for item in range(known.num_items):
        category = int(known.category[item])
        writer.writerow(
            [
                item + 1,
                photo_path(item + 1),
                simulator.product_words[category],
                category + 1,
                int(known.brand[item]) + 1,
                int(known.late[item]),
                known.title(item),
                *(f"{number:.5f}" for number in known.style[item]),
            ]
        )
    return text.getvalue()
