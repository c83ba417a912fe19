"""Draws photos of products from category and style."""

import numpy as np

from jd_tf.data.simulator.photos.silhouettes import SILHOUETTES, inside
from jd_tf.data.simulator.shop.words import CATEGORY_WORDS, pattern_word

IMAGE_SIZE = 64
_OVERSAMPLING = 2
_PATTERN_STRENGTH = 0.55


def draw_product(
    category: int, style: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draws a photo of one product.

    The category gives the silhouette, the style the colour (hue by its angle,
    vividness by its length), the tone (light or dark) and the pattern (plain,
    stripes, dots, checks, finer as the number grows). Pose, light, background
    and grain are each photo's own and mean nothing.

    Args:
        category: number of the product word.
        style: (4,) float: hue vector (two), tone, pattern.
        rng: of pose, light and grain.

    Returns:
        (64, 64, 3) uint8.
    """
    fine = IMAGE_SIZE * _OVERSAMPLING
    line = (np.arange(fine) + 0.5) / fine * 2.0 - 1.0
    screen_x, screen_y = np.meshgrid(line, line)
    x, y = _pose(screen_x, screen_y, rng)

    body, trim = product_colours(style)
    surface = _pattern(style[3], x, y)[..., np.newaxis]
    cloth = body * (1.0 - surface) + trim * surface
    # Light falls from one side.
    side = rng.uniform(-1.0, 1.0)
    light = 1.0 + 0.12 * (side * x - y)[..., np.newaxis]

    backdrop = rng.uniform(0.86, 0.97) + rng.uniform(-0.02, 0.02, 3)
    picture = backdrop - 0.06 * np.hypot(screen_x, screen_y)[..., np.newaxis]
    covered = np.zeros(x.shape, bool)
    trimmed = np.zeros(x.shape, bool)
    for part in SILHOUETTES[CATEGORY_WORDS[category]]:
        hit = inside(part, x, y)
        covered = covered & ~hit if part.hole else covered | hit
        trimmed = trimmed & ~hit if not part.trim else trimmed | hit
    drawn = np.where(trimmed[..., np.newaxis], trim, cloth) * light
    picture = np.where(covered[..., np.newaxis], drawn, picture)

    blocks = (IMAGE_SIZE, _OVERSAMPLING, IMAGE_SIZE, _OVERSAMPLING, 3)
    picture = picture.reshape(blocks).mean(axis=(1, 3))
    picture = picture + rng.normal(scale=0.012, size=picture.shape)
    return np.round(np.clip(picture, 0.0, 1.0) * 255.0).astype(np.uint8)


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
    kind = pattern_word(value)
    # Within a kind, the larger the number the finer the pattern.
    waves = 3.0 + 1.5 * np.clip(value, -2.0, 2.0)
    across = np.sin(np.pi * waves * x)
    down = np.sin(np.pi * waves * y)
    if kind == "plain":
        return np.zeros(x.shape)
    if kind == "striped":
        return _PATTERN_STRENGTH * (down > 0.2)
    if kind == "dotted":
        return _PATTERN_STRENGTH * (across * down > 0.45)
    return _PATTERN_STRENGTH * (across * down > 0.0)


def _rgb(hue: float, saturation: float, value: float) -> np.ndarray:
    """Converts HSV to (3,) red, green and blue, 0 to 1."""
    sector = (hue * 6.0 + np.array([5.0, 3.0, 1.0])) % 6.0
    ramp = np.clip(np.minimum(sector, 4.0 - sector), 0.0, 1.0)
    return value * (1.0 - saturation * ramp)
