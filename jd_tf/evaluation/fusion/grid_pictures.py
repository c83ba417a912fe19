"""One objective's value against another's, under every weight vector."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.ticker import PercentFormatter

from jd_tf.evaluation.fusion.grid import FusionGrid
from jd_tf.evaluation.pictures import Picture, new_figure, to_png

_COLORS = ("#c1121f", "#1d4e89", "#2a7f62", "#7b2d8b", "#d39b00", "#0a9396")
_MARKERS = "o^sDvPX*"


def front_picture(
    grid: FusionGrid,
    objectives: Sequence[str],
    axes: tuple[int, int],
    rankings: Mapping[str, Mapping[str, Any]],
) -> Picture:
    """What can be had of one objective without giving up the other.

    Args:
        grid: every weight vector is a dot, the front is a line.
        objectives: T names.
        axes: indices of the objectives to the right and upwards.
        rankings: name -> `captured` by objective, marked by name.
    """
    first, second = axes
    names = objectives[first], objectives[second]
    figure, plot = new_figure(5.6, 4.2)
    plot.scatter(
        grid.captured[first],
        grid.captured[second],
        s=4,
        color="#c9c9c9",
        label=f"{len(grid.weights)} weight vectors",
    )
    front = grid.front(first, second)
    plot.plot(
        grid.captured[first, front],
        grid.captured[second, front],
        "-",
        color="#444",
        linewidth=1,
        label="front: none is better in both",
    )
    said = []
    for place, (name, entry) in enumerate(rankings.items()):
        x, y = (entry["captured"][axis] for axis in names)
        said.append(f"{name} {x:.3f} and {y:.3f}")
        plot.plot(
            x,
            y,
            _MARKERS[place % len(_MARKERS)],
            color=_COLORS[place % len(_COLORS)],
            markersize=7,
            markeredgecolor="white",
            label=name.replace("_", " "),
        )
    for axis, name in zip((plot.xaxis, plot.yaxis), names, strict=True):
        axis.set_major_formatter(PercentFormatter(1.0))
        axis.set_label_text(f"{name}: share of the best possible", fontsize=8)
    plot.legend(fontsize=7, frameon=False)
    title = f"{names[0]} against {names[1]}"
    alt = (
        f"What {len(grid.weights)} constant weight vectors capture of "
        f"{names[0]} and {names[1]}; {'; '.join(said)}."
    )
    return Picture(title, alt, to_png(figure))
