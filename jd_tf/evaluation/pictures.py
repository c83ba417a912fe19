"""Pictures drawn by matplotlib's objects: no windows, no globals."""

import base64
import io
from collections.abc import Mapping
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Colours that people who see colours differently can tell apart, ours first.
PALETTE = (
    *("#c1121f", "#1d4e89", "#2a7f62", "#d39b00", "#7b2d8b", "#0a9396"),
    *("#9c6644", "#495057"),
)
COLORS = {
    "popularity": "#6c757d",
    "last_category": "#2a7f62",
    "trees": "#1d4e89",
    "oracle": "#d39b00",
}
_DPI = 150


class Picture(NamedTuple):
    """A picture for a page: heading, text for those who cannot see it, PNG."""

    title: str
    alt: str
    png: bytes

    @property
    def data_uri(self) -> str:
        """The bytes as the `src` of an image."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode()


def color_of(name: str, place: int = 0) -> str:
    """The colour a system has in every picture."""
    return COLORS.get(name, PALETTE[place % len(PALETTE)])


def new_figure(width: float = 4.6, height: float = 3.2) -> tuple[Figure, Axes]:
    """A small figure (inches) that stays readable on a phone."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    tidy(axes)
    return figure, axes


def new_panels(
    names: list[str], height: float = 2.7, columns: int = 3
) -> tuple[Figure, Mapping[str, Axes]]:
    """A figure with one panel a name, `columns` side by side."""
    rows = -(-len(names) // columns)
    columns = min(columns, len(names))
    figure = Figure(
        figsize=(3.7 * columns, height * rows), layout="constrained"
    )
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    panels = dict(zip(names, grid, strict=False))
    for name, axes in panels.items():
        tidy(axes)
        axes.set_title(name, fontsize=9, loc="left")
    for axes in grid[len(names) :]:
        axes.set_visible(False)
    return figure, panels


def share_legend(figure: Figure, axes: Axes) -> None:
    """One legend above all panels, of what one of them shows."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside upper left",
        ncols=max(len(labels), 1),
        fontsize=8,
        frameon=False,
    )


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
