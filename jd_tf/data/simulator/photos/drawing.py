"""Photos of the simulated products: drawn, and written beside a list."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from jd_tf.data.files import write_whole
from jd_tf.data.simulator.photos.silhouettes import SILHOUETTES, inside
from jd_tf.data.simulator.shop.catalogue import Catalogue
from jd_tf.data.simulator.shop.words import CATEGORY_WORDS, pattern_word

_COLUMNS = ("item_id", "path", "word", "category_id", "brand_id", "late")
_CHUNK = 250
_QUALITY = 92
_PHOTO_STREAM = 3
_IMAGE_SIZE = 64
_OVERSAMPLING = 2
_PATTERN_STRENGTH = 0.55


def draw_item(catalogue: Catalogue, seed: int, item: int) -> np.ndarray:
    """Draws the photo of an item number, (64, 64, 3) uint8.

    The category gives the silhouette, the (4,) style the colour (hue by the
    angle of its first two, vividness by their length), the tone (light or
    dark) and the pattern (plain, stripes, dots, checks, finer as the number
    grows). Pose, light, background and grain are random.
    """
    style = catalogue.style[item]
    rng = np.random.default_rng([seed, _PHOTO_STREAM, item])
    fine = _IMAGE_SIZE * _OVERSAMPLING
    line = (np.arange(fine) + 0.5) / fine * 2.0 - 1.0
    screen_x, screen_y = np.meshgrid(line, line)
    x, y = _pose(screen_x, screen_y, rng)

    body, trim = product_colours(style)
    surface = _pattern(style[3], x, y)[..., None]
    cloth = body * (1.0 - surface) + trim * surface
    # Light falls from one side.
    side = rng.uniform(-1.0, 1.0)
    light = 1.0 + 0.12 * (side * x - y)[..., None]

    backdrop = rng.uniform(0.86, 0.97) + rng.uniform(-0.02, 0.02, 3)
    picture = backdrop - 0.06 * np.hypot(screen_x, screen_y)[..., None]
    covered = trimmed = np.zeros(x.shape, bool)
    for part in SILHOUETTES[CATEGORY_WORDS[catalogue.category[item]]]:
        hit = inside(part, x, y)
        covered = covered & ~hit if part.layer == "hole" else covered | hit
        trimmed = trimmed | hit if part.layer == "trim" else trimmed & ~hit
    drawn = np.where(trimmed[..., None], trim, cloth) * light
    picture = np.where(covered[..., None], drawn, picture)

    blocks = (_IMAGE_SIZE, _OVERSAMPLING, _IMAGE_SIZE, _OVERSAMPLING, 3)
    picture = picture.reshape(blocks).mean(axis=(1, 3))
    picture = picture + rng.normal(scale=0.012, size=picture.shape)
    return np.round(np.clip(picture, 0.0, 1.0) * 255.0).astype(np.uint8)


def write_photos(
    catalogue: Catalogue, seed: int, folder: Path, run: Callable
) -> None:
    """Draws every product and writes a list of them into `folder`.

    It gets `images/<item_id>.jpg` and `catalogue.csv`, whose columns are
    item_id, path (from the list's folder), word, category_id, brand_id, late
    (1: arrives while logging), title, and the true style as s0, s1, ...

    `run` takes a function, its arguments, a title and a unit of progress.
    """
    (folder / "images").mkdir()
    items = range(catalogue.num_items)
    tasks = [
        (catalogue, seed, items[first : first + _CHUNK], folder)
        for first in items[::_CHUNK]
    ]
    for _ in run(_draw, tasks, "photos", "chunk"):
        pass
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    styles = [f"s{place}" for place in range(catalogue.style.shape[1])]
    writer.writerow([*_COLUMNS, "title", *styles])
    writer.writerows(_line(catalogue, item) for item in items)
    write_whole(folder / "catalogue.csv", text.getvalue().encode())


def _path(item: int) -> str:
    return f"images/{item + 1}.jpg"


def _draw(task: tuple[Catalogue, int, range, Path]) -> None:
    # Only the JPEG writer of TensorFlow is used here.
    import tensorflow as tf

    catalogue, seed, items, folder = task
    for item in items:
        pixels = draw_item(catalogue, seed, item)
        jpeg = tf.io.encode_jpeg(pixels, quality=_QUALITY).numpy()
        (folder / _path(item)).write_bytes(jpeg)


def _line(catalogue: Catalogue, item: int) -> list[Any]:
    """Returns an item's line of the list."""
    category = catalogue.category[item]
    return [
        item + 1,
        _path(item),
        CATEGORY_WORDS[category],
        category + 1,
        catalogue.brand[item] + 1,
        int(catalogue.late[item]),
        catalogue.title(item),
        *(f"{number:.5f}" for number in catalogue.style[item]),
    ]


def product_colours(style: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the (3,) colours of body and trim, 0 to 1, of a style."""
    turn = np.arctan2(style[1], style[0]) / (2.0 * np.pi) % 1.0
    vivid = np.tanh(0.8 * np.hypot(style[0], style[1]))
    value = 0.35 + 0.55 / (1.0 + np.exp(-1.5 * style[2]))
    body = _rgb(turn, vivid, value)
    # The trim contrasts in lightness, whatever the colour.
    trim = _rgb(turn, 0.6 * vivid, value - 0.3 if value > 0.6 else value + 0.3)
    return body, trim


def _pose(
    x: np.ndarray, y: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Shifts, scales, turns and mirrors screen coordinates."""
    scale = rng.uniform(0.72, 0.95)
    turn = rng.normal(scale=0.12)
    mirror = rng.choice((-1.0, 1.0))
    dx, dy = rng.uniform(-0.08, 0.08, 2)
    across, down = (x - dx) / scale, (y - dy) / scale
    turned_x = np.cos(turn) * across + np.sin(turn) * down
    turned_y = -np.sin(turn) * across + np.cos(turn) * down
    return mirror * turned_x, turned_y


def _pattern(value: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns (H, W), the share of the trim's colour in the pattern."""
    # Within a kind, the larger the number the finer the pattern.
    waves = 3.0 + 1.5 * np.clip(value, -2.0, 2.0)
    across = np.sin(np.pi * waves * x)
    down = np.sin(np.pi * waves * y)
    marks = {
        "plain": np.zeros(x.shape),
        "striped": down > 0.2,
        "dotted": across * down > 0.45,
        "checked": across * down > 0.0,
    }
    return _PATTERN_STRENGTH * marks[pattern_word(value)]


def _rgb(hue: float, saturation: float, value: float) -> np.ndarray:
    """Converts HSV to (3,) red, green and blue, 0 to 1."""
    sector = (hue * 6.0 + np.array([5.0, 3.0, 1.0])) % 6.0
    ramp = np.clip(np.minimum(sector, 4.0 - sector), 0.0, 1.0)
    return value * (1.0 - saturation * ramp)
