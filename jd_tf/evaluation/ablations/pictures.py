"""Pictures of an ablation: what every switch changed, with its interval."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jd_tf.evaluation.ablations.table import Cell, key_of
from jd_tf.evaluation.ablations.text import (
    LABELS,
    column_name,
    columns_of,
    difference_text,
)
from jd_tf.evaluation.pictures import Picture, new_figure, tidy, to_png

_BETTER, _WORSE, _UNSURE = "#2a7f62", "#c1121f", "#6c757d"
_ROW_HEIGHT = 0.34
_COLUMNS = 4


def difference_pictures(
    table: Sequence[Cell], marks: dict[tuple[str, ...], str]
) -> list[Picture]:
    """A picture an objective and kind of candidates.

    Args:
        table: cells of one metric.
        marks: of significance, see `marks_of`.
    """
    pictures = []
    for column in columns_of(table):
        cells = _drawable(table, column)
        if not cells:
            continue
        figure, axes = new_figure(height=_height(len(cells)))
        title = f"{LABELS[cells[0].metric]} of {column_name(*column)}"
        _draw(axes, cells, marks)
        axes.set_xlabel(f"difference in {title}", fontsize=8)
        said = "; ".join(
            f"{cell.row} {difference_text(cell, marks)}" for cell in cells
        )
        pictures.append(Picture(title, f"{title}: {said}", to_png(figure)))
    return pictures


def overview_png(
    table: Sequence[Cell], marks: dict[tuple[str, ...], str]
) -> bytes | None:
    """All pictures of one metric in one file; None if there are none."""
    panels = [
        (column, cells)
        for column in columns_of(table)
        if (cells := _drawable(table, column))
    ]
    if not panels:
        return None
    across = min(len(panels), _COLUMNS)
    down = math.ceil(len(panels) / across)
    tallest = max(len(cells) for _, cells in panels)
    figure = Figure(
        figsize=(2.2 + 2.6 * across, down * (0.5 + _height(tallest))),
        layout="constrained",
    )
    grid = figure.subplots(down, across, squeeze=False).ravel()
    for place, axes in enumerate(grid):
        if place >= len(panels):
            axes.set_axis_off()
            continue
        column, cells = panels[place]
        tidy(axes)
        _draw(axes, cells, marks)
        axes.set_title(column_name(*column), fontsize=9)
        if place % across:
            axes.set_yticklabels([])
    metric = LABELS[table[0].metric]
    figure.supxlabel(f"difference in {metric} (bar: 95 % interval)", fontsize=9)
    return to_png(figure)


def _drawable(table: Sequence[Cell], column: tuple[str, str]) -> list[Cell]:
    return [
        cell
        for cell in table
        if (cell.kind, cell.objective) == column
        and cell.paired is not None
        and not math.isnan(cell.paired.difference)
    ]


def _draw(
    axes: Axes, cells: Sequence[Cell], marks: dict[tuple[str, ...], str]
) -> None:
    axes.axvline(0.0, color="#444", linewidth=0.8)
    for place, cell in enumerate(cells):
        paired = cell.paired
        color = _UNSURE
        if marks.get(key_of(cell)):
            color = _BETTER if paired.difference > 0 else _WORSE
        low, high = paired.interval
        if not math.isnan(low):
            axes.plot([low, high], [place, place], color=color, linewidth=2.2)
        axes.plot(paired.difference, place, "o", color=color, markersize=5)
    axes.set_yticks(
        range(len(cells)), [_name(cell) for cell in cells], fontsize=7
    )
    axes.set_ylim(len(cells) - 0.4, -0.6)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.tick_params(axis="x", labelsize=7)


def _name(cell: Cell) -> str:
    return f"{cell.row}\nagainst {cell.against}"


def _height(count: int) -> float:
    return 0.8 + _ROW_HEIGHT * count
