"""Silhouettes of the product words, made of a few plain shapes.

A silhouette is a list of parts; later parts are laid over earlier ones, and
parts marked as holes are cut out. Coordinates run from -1 (left, top) to 1.
"""

import dataclasses
import functools

import numpy as np


@dataclasses.dataclass(frozen=True)
class Part:
    """One plain shape.

    Attributes:
        kind: "ellipse" (x, y, half width, half height), "box" (x, y, half
            width, half height, rounding), "ring" (x, y, radius, half
            thickness), "bar" (x1, y1, x2, y2, half thickness) or "wedge"
            (x, top, bottom, half width at the top, half width at the
            bottom).
        numbers: as listed for the kind.
        hole: cuts the shape out.
        trim: gives it the second colour and no pattern.
    """

    kind: str
    numbers: tuple[float, ...]
    hole: bool = False
    trim: bool = False


def _part(kind: str, *numbers: float, **flags: bool) -> Part:
    return Part(kind, numbers, **flags)


_ellipse, _box, _ring, _bar, _wedge = (
    functools.partial(_part, kind)
    for kind in ("ellipse", "box", "ring", "bar", "wedge")
)

SILHOUETTES: dict[str, tuple[Part, ...]] = {
    "shirt": (
        _bar(-0.35, -0.45, -0.8, 0.0, 0.17),
        _bar(0.35, -0.45, 0.8, 0.0, 0.17),
        _box(0.0, 0.1, 0.42, 0.65, 0.06),
        _ellipse(0.0, -0.6, 0.2, 0.16, hole=True),
    ),
    "kettle": (
        _ring(0.0, -0.3, 0.5, 0.06, trim=True),
        _bar(0.4, 0.1, 0.85, -0.25, 0.1),
        _ellipse(0.0, 0.25, 0.58, 0.5),
        _box(0.0, 0.72, 0.45, 0.06, 0.02, trim=True),
        _ellipse(0.0, -0.28, 0.12, 0.08, trim=True),
    ),
    "lamp": (
        _box(0.0, 0.3, 0.05, 0.5, 0.0, trim=True),
        _box(0.0, 0.8, 0.35, 0.07, 0.05, trim=True),
        _wedge(0.0, -0.8, 0.05, 0.28, 0.65),
    ),
    "sneaker": (
        _wedge(-0.45, -0.35, 0.4, 0.25, 0.4),
        _ellipse(0.15, 0.3, 0.7, 0.3),
        _box(0.0, 0.5, 0.85, 0.12, 0.08, trim=True),
        _bar(0.0, 0.05, 0.25, 0.25, 0.04, trim=True),
    ),
    "backpack": (
        _ring(0.0, -0.6, 0.2, 0.05, trim=True),
        _box(0.0, 0.1, 0.55, 0.7, 0.25),
        _box(0.0, 0.4, 0.36, 0.24, 0.08, trim=True),
        _box(0.0, 0.36, 0.3, 0.15, 0.05),
    ),
    "watch": (
        _box(0.0, 0.0, 0.2, 0.9, 0.05),
        _ellipse(0.0, 0.0, 0.45, 0.45, trim=True),
        _ellipse(0.0, 0.0, 0.34, 0.34, hole=True),
        _bar(0.0, 0.0, 0.0, -0.24, 0.04, trim=True),
        _bar(0.0, 0.0, 0.18, 0.05, 0.04, trim=True),
    ),
    "mug": (
        _ring(0.5, 0.05, 0.3, 0.08, trim=True),
        _box(-0.1, 0.05, 0.5, 0.6, 0.08),
    ),
    "chair": (
        _box(-0.38, -0.3, 0.08, 0.6, 0.03),
        _box(0.0, 0.15, 0.46, 0.09, 0.03),
        _bar(-0.4, 0.2, -0.48, 0.85, 0.05, trim=True),
        _bar(0.4, 0.2, 0.48, 0.85, 0.05, trim=True),
    ),
    "umbrella": (
        _bar(0.0, -0.1, 0.0, 0.7, 0.04, trim=True),
        _ring(0.12, 0.7, 0.12, 0.04, trim=True),
        _ellipse(0.0, 0.0, 0.85, 0.75),
        _box(0.0, 0.5, 1.0, 0.5, 0.0, hole=True),
        _bar(0.0, 0.0, 0.0, 0.7, 0.04, trim=True),
    ),
    "camera": (
        _box(0.0, -0.4, 0.25, 0.15, 0.04, trim=True),
        _box(0.0, 0.1, 0.8, 0.48, 0.1),
        _ellipse(0.0, 0.1, 0.36, 0.36, trim=True),
        _ellipse(0.0, 0.1, 0.2, 0.2, hole=True),
    ),
    "guitar": (
        _bar(0.1, -0.1, 0.55, -0.85, 0.07, trim=True),
        _ellipse(-0.05, 0.05, 0.33, 0.3),
        _ellipse(-0.28, 0.42, 0.48, 0.42),
        _ellipse(-0.1, 0.15, 0.13, 0.13, hole=True),
    ),
    "bottle": (
        _box(0.0, -0.8, 0.14, 0.1, 0.02, trim=True),
        _wedge(0.0, -0.75, -0.15, 0.11, 0.3),
        _box(0.0, 0.35, 0.3, 0.55, 0.08),
    ),
    "hat": (
        _ellipse(0.0, 0.45, 0.9, 0.2),
        _box(0.0, -0.05, 0.45, 0.5, 0.2),
        _box(0.0, 0.27, 0.45, 0.1, 0.0, trim=True),
    ),
    "phone": (
        _box(0.0, 0.0, 0.42, 0.85, 0.12),
        _box(0.0, -0.05, 0.33, 0.62, 0.02, trim=True),
        _ellipse(0.0, 0.72, 0.07, 0.07, hole=True),
    ),
    "vase": (
        _box(0.0, -0.75, 0.3, 0.07, 0.03, trim=True),
        _wedge(0.0, -0.75, -0.1, 0.2, 0.18),
        _ellipse(0.0, 0.3, 0.5, 0.5),
        _box(0.0, 0.8, 0.3, 0.06, 0.0, trim=True),
    ),
    "ball": (_ellipse(0.0, 0.0, 0.75, 0.75),),
    "sofa": (
        _box(0.0, -0.05, 0.7, 0.4, 0.12),
        _box(0.0, 0.35, 0.85, 0.22, 0.08),
        _box(-0.8, 0.2, 0.13, 0.35, 0.1, trim=True),
        _box(0.8, 0.2, 0.13, 0.35, 0.1, trim=True),
    ),
    "headphones": (
        _ring(0.0, 0.0, 0.62, 0.08),
        _box(0.0, 0.6, 1.0, 0.4, 0.0, hole=True),
        _box(-0.62, 0.3, 0.17, 0.35, 0.12, trim=True),
        _box(0.62, 0.3, 0.17, 0.35, 0.12, trim=True),
    ),
    "glasses": (
        _ring(-0.45, 0.0, 0.34, 0.09),
        _ring(0.45, 0.0, 0.34, 0.09),
        _bar(-0.12, -0.05, 0.12, -0.05, 0.06, trim=True),
    ),
    "skirt": (
        _wedge(0.0, -0.6, 0.75, 0.32, 0.8),
        _box(0.0, -0.6, 0.33, 0.1, 0.0, trim=True),
    ),
    "fan": (
        _box(0.0, 0.55, 0.06, 0.3, 0.0, trim=True),
        _box(0.0, 0.85, 0.4, 0.06, 0.03, trim=True),
        _ring(0.0, -0.2, 0.6, 0.05, trim=True),
        _ellipse(-0.25, -0.4, 0.22, 0.16),
        _ellipse(0.28, -0.35, 0.16, 0.22),
        _ellipse(0.0, 0.12, 0.2, 0.22),
        _ellipse(0.0, -0.2, 0.1, 0.1, trim=True),
    ),
    "racket": (
        _bar(0.1, 0.2, 0.6, 0.85, 0.08, trim=True),
        _ellipse(-0.2, -0.25, 0.5, 0.58),
        _ellipse(-0.2, -0.25, 0.4, 0.48, hole=True),
        _bar(-0.2, -0.8, -0.2, 0.3, 0.03),
        _bar(-0.65, -0.25, 0.25, -0.25, 0.03),
    ),
    "kite": (
        _wedge(0.0, -0.85, -0.2, 0.0, 0.6),
        _wedge(0.0, -0.2, 0.6, 0.6, 0.0),
        _bar(0.0, 0.55, 0.25, 0.9, 0.03, trim=True),
    ),
    "clock": (
        _box(0.0, 0.0, 0.75, 0.75, 0.12),
        _ellipse(0.0, 0.0, 0.55, 0.55, hole=True),
        _ring(0.0, 0.0, 0.55, 0.05, trim=True),
        _bar(0.0, 0.0, 0.0, -0.4, 0.05, trim=True),
        _bar(0.0, 0.0, 0.3, 0.12, 0.05, trim=True),
    ),
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
