"""Pictures drawn by matplotlib's objects: no windows, no globals."""

import base64
import io
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLORS = {
    "jd_ranker": "#c1121f",
    "popularity": "#6c757d",
    "last_category": "#2a7f62",
    "trees": "#1d4e89",
    "oracle": "#d39b00",
}
OTHER_COLORS = ("#7b2d8b", "#0a9396", "#9c6644", "#5a189a")
_DPI = 150


class Picture(NamedTuple):
    """A picture to put into a page.

    Attributes:
        title: heading above it.
        alt: what it shows, for those who cannot see it.
        png: the bytes.
    """

    title: str
    alt: str
    png: bytes

    @property
    def data_uri(self) -> str:
        """The bytes as the `src` of an image."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode()


def color_of(name: str, place: int = 0) -> str:
    """The colour a system has in every picture."""
    return COLORS.get(name, OTHER_COLORS[place % len(OTHER_COLORS)])


def new_figure(width: float = 4.6, height: float = 3.2) -> tuple[Figure, Axes]:
    """A small figure (inches) that stays readable on a phone."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    tidy(axes)
    return figure, axes


def tidy(axes: Axes) -> None:
    """The look all axes share."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, color="#e3e3e3", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8)


def to_png(figure: Figure) -> bytes:
    """Draws a figure."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, facecolor="white")
    return buffer.getvalue()
