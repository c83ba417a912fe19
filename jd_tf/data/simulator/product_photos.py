"""Photos of the simulated products: drawn, and written beside a list."""

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jd_tf.data.files import write_whole
from jd_tf.data.simulator.shop.catalogue import Catalogue
from jd_tf.data.simulator.shop.words import CATEGORY_WORDS, pattern_word

_COLUMNS = ("item_id", "path", "word", "category_id", "brand_id", "late")
_CHUNK = 250
_QUALITY = 92
_PHOTO_STREAM = 3
_IMAGE_SIZE = 64
_OVERSAMPLING = 2
_PATTERN_STRENGTH = 0.55
# Each word is followed by its parts: kind, numbers and layer as in `Part`.
# Later parts are laid over earlier ones.
_TABLE = """
shirt: bar -.35 -.45 -.8 0 .17; bar .35 -.45 .8 0 .17; box 0 .1 .42 .65 .06;
  ellipse 0 -.6 .2 .16 hole
kettle: ring 0 -.3 .5 .06 trim; bar .4 .1 .85 -.25 .1; ellipse 0 .25 .58 .5;
  box 0 .72 .45 .06 .02 trim; ellipse 0 -.28 .12 .08 trim
lamp: box 0 .3 .05 .5 0 trim; box 0 .8 .35 .07 .05 trim;
  wedge 0 -.8 .05 .28 .65
sneaker: wedge -.45 -.35 .4 .25 .4; ellipse .15 .3 .7 .3;
  box 0 .5 .85 .12 .08 trim; bar 0 .05 .25 .25 .04 trim
backpack: ring 0 -.6 .2 .05 trim; box 0 .1 .55 .7 .25;
  box 0 .4 .36 .24 .08 trim; box 0 .36 .3 .15 .05
watch: box 0 0 .2 .9 .05; ellipse 0 0 .45 .45 trim; ellipse 0 0 .34 .34 hole;
  bar 0 0 0 -.24 .04 trim; bar 0 0 .18 .05 .04 trim
mug: ring .5 .05 .3 .08 trim; box -.1 .05 .5 .6 .08
chair: box -.38 -.3 .08 .6 .03; box 0 .15 .46 .09 .03;
  bar -.4 .2 -.48 .85 .05 trim; bar .4 .2 .48 .85 .05 trim
umbrella: bar 0 -.1 0 .7 .04 trim; ring .12 .7 .12 .04 trim;
  ellipse 0 0 .85 .75; box 0 .5 1 .5 0 hole; bar 0 0 0 .7 .04 trim
camera: box 0 -.4 .25 .15 .04 trim; box 0 .1 .8 .48 .1;
  ellipse 0 .1 .36 .36 trim; ellipse 0 .1 .2 .2 hole
guitar: bar .1 -.1 .55 -.85 .07 trim; ellipse -.05 .05 .33 .3;
  ellipse -.28 .42 .48 .42; ellipse -.1 .15 .13 .13 hole
bottle: box 0 -.8 .14 .1 .02 trim; wedge 0 -.75 -.15 .11 .3;
  box 0 .35 .3 .55 .08
hat: ellipse 0 .45 .9 .2; box 0 -.05 .45 .5 .2; box 0 .27 .45 .1 0 trim
phone: box 0 0 .42 .85 .12; box 0 -.05 .33 .62 .02 trim;
  ellipse 0 .72 .07 .07 hole
vase: box 0 -.75 .3 .07 .03 trim; wedge 0 -.75 -.1 .2 .18; ellipse 0 .3 .5 .5;
  box 0 .8 .3 .06 0 trim
ball: ellipse 0 0 .75 .75
sofa: box 0 -.05 .7 .4 .12; box 0 .35 .85 .22 .08; box -.8 .2 .13 .35 .1 trim;
  box .8 .2 .13 .35 .1 trim
headphones: ring 0 0 .62 .08; box 0 .6 1 .4 0 hole;
  box -.62 .3 .17 .35 .12 trim; box .62 .3 .17 .35 .12 trim
glasses: ring -.45 0 .34 .09; ring .45 0 .34 .09;
  bar -.12 -.05 .12 -.05 .06 trim
skirt: wedge 0 -.6 .75 .32 .8; box 0 -.6 .33 .1 0 trim
fan: box 0 .55 .06 .3 0 trim; box 0 .85 .4 .06 .03 trim;
  ring 0 -.2 .6 .05 trim; ellipse -.25 -.4 .22 .16; ellipse .28 -.35 .16 .22;
  ellipse 0 .12 .2 .22; ellipse 0 -.2 .1 .1 trim
racket: bar .1 .2 .6 .85 .08 trim; ellipse -.2 -.25 .5 .58;
  ellipse -.2 -.25 .4 .48 hole; bar -.2 -.8 -.2 .3 .03;
  bar -.65 -.25 .25 -.25 .03
kite: wedge 0 -.85 -.2 0 .6; wedge 0 -.2 .6 .6 0; bar 0 .55 .25 .9 .03 trim
clock: box 0 0 .75 .75 .12; ellipse 0 0 .55 .55 hole; ring 0 0 .55 .05 trim;
  bar 0 0 0 -.4 .05 trim; bar 0 0 .3 .12 .05 trim
"""


class Part(NamedTuple):
    """One plain shape; coordinates run from -1 (left, top) to 1.

    Numbers of an "ellipse": x, y, half width, half height; "box": the same
    and rounding; "ring": x, y, radius, half thickness; "bar": x1, y1, x2, y2,
    half thickness; "wedge": x, top, bottom, half width at the top and at the
    bottom. Layer "hole" cuts the shape out; "trim" gives it the second colour
    and no pattern.
    """

    kind: str
    numbers: tuple[float, ...]
    layer: str


SILHOUETTES = {
    word: tuple(
        Part(kind, tuple(map(float, numbers.split())), layer)
        for kind, numbers, layer in re.findall(
            r"([a-z]+) ([-.0-9 ]+)([a-z]*)", parts
        )
    )
    for word, parts in re.findall(r"^(\w+):((?:.|\n )*)", _TABLE, re.MULTILINE)
}


def inside(part: Part, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Marks points, of any shape, in a part; x to the right, y downwards."""
    n = part.numbers
    if part.kind == "ellipse":
        return ((x - n[0]) / n[2]) ** 2 + ((y - n[1]) / n[3]) ** 2 <= 1.0
    if part.kind == "box":
        across = np.abs(x - n[0]) - (n[2] - n[4])
        along = np.abs(y - n[1]) - (n[3] - n[4])
        corner = np.hypot(np.maximum(across, 0.0), np.maximum(along, 0.0))
        # Within the straight part both distances are negative.
        return corner <= n[4]
    if part.kind == "ring":
        return np.abs(np.hypot(x - n[0], y - n[1]) - n[2]) <= n[3]
    if part.kind == "bar":
        dx, dy = n[2] - n[0], n[3] - n[1]
        along = ((x - n[0]) * dx + (y - n[1]) * dy) / (dx * dx + dy * dy)
        along = np.clip(along, 0.0, 1.0)
        off = np.hypot(x - n[0] - along * dx, y - n[1] - along * dy)
        return off <= n[4]
    down = (y - n[1]) / (n[2] - n[1])
    width = n[3] + (n[4] - n[3]) * down
    return (down >= 0.0) & (down <= 1.0) & (np.abs(x - n[0]) <= width)


def draw_item(catalogue: Catalogue, seed: int, item: int) -> np.ndarray:
    """Draws the photo of an item number, (64, 64, 3) uint8.

    The category gives the silhouette, the style colour, vividness, tone and
    pattern; pose, light, background and grain are random.
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
    """Writes `images/<item_id>.jpg` of every product and `catalogue.csv`.

    Its paths are relative; `late` is 1 for items that arrive while logging;
    s0, s1, ... are the true style. `run` maps with a title and a unit.
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
