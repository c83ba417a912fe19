"""Silhouettes of the product words, made of a few plain shapes."""

import re
from typing import NamedTuple

import numpy as np

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

    Attributes:
        kind: "ellipse" (x, y, half width, half height), "box" (x, y, half
            width, half height, rounding), "ring" (x, y, radius, half
            thickness), "bar" (x1, y1, x2, y2, half thickness) or "wedge"
            (x, top, bottom, half width at the top, half width at the
            bottom).
        numbers: as listed for the kind.
        layer: "hole" cuts the shape out; "trim" gives it the second colour
            and no pattern; "" neither.
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
