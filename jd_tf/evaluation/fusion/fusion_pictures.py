"""Pictures of fusion: weights by segment, and orders compared."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.ticker import MaxNLocator, PercentFormatter

from jd_tf.evaluation.fusion.grid import FusionGrid
from jd_tf.evaluation.fusion.observation import LEARNED
from jd_tf.evaluation.pictures import (
    PALETTE,
    Picture,
    new_figure,
    new_panels,
    share_legend,
    to_png,
)

_MARKERS = "o^sDvPX*"
_AHEAD, _BEHIND, _LEVEL = "#2a7f62", "#c1121f", "#6c757d"


def objective_colors(names: Sequence[str]) -> dict[str, str]:
    """The colour an objective has in every picture and bar."""
    return {n: PALETTE[(i + 1) % len(PALETTE)] for i, n in enumerate(names)}


def segments_picture(
    tables: Mapping[str, Mapping[str, Mapping[str, Any]]],
) -> Picture:
    """Mean shares of the weights in every segment, as stacked bars.

    Args:
        tables: segmentation -> segment -> as of `weights_by_segment`.
    """
    most = max(len(table) for table in tables.values())
    titles = {name: name.replace("_", " ") for name in tables}
    figure, panels = new_panels(list(titles.values()), 0.9 + 0.35 * most)
    texts = []
    for segmentation, table in tables.items():
        axes = panels[titles[segmentation]]
        for place, (segment, entry) in enumerate(table.items()):
            colors, start = objective_colors(list(entry["shares"])), 0.0
            for name, one in entry["shares"].items():
                share = one["mean"]
                label = name if place == 0 else None
                axes.barh(
                    place, share, left=start, color=colors[name], label=label
                )
                if share >= 0.08:
                    axes.annotate(
                        f"{100 * share:.0f}",
                        (start + share / 2, place),
                        ha="center",
                        va="center",
                        fontsize=7,
                        color="white",
                    )
                start += share
            shares = ", ".join(
                f"{n} {one['mean']:.1%}" for n, one in entry["shares"].items()
            )
            texts.append(f"{titles[segmentation]} {segment}: {shares}")
        axes.set_yticks(range(len(table)), list(table), fontsize=8)
        axes.set_ylim(len(table) - 0.4, -0.6)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    share_legend(figure, next(iter(panels.values())))
    title = "Mean shares of the learned weights by segment"
    return Picture(title, f"{title}: {'; '.join(texts)}.", to_png(figure))


def differences_picture(compared: Mapping[str, Any]) -> Picture:
    """The learned order minus every other one, with intervals.

    Args:
        compared: of `compare_orders`, None where undefined.
    """
    found = compared["differences"][LEARNED]
    metrics = list(compared["rankings"][LEARNED])
    figure, panels = new_panels(metrics, 0.9 + 0.4 * len(found))
    texts = []
    for metric in metrics:
        axes = panels[metric]
        for place, (name, entry) in enumerate(found.items()):
            difference = entry[metric]["difference"]
            low, high = entry[metric]["interval"]
            color = _LEVEL
            if low is not None:
                if low > 0 or high < 0:
                    color = _AHEAD if low > 0 else _BEHIND
                axes.plot([low, high], [place] * 2, color=color, linewidth=2.5)
            axes.plot(difference, place, "o", color=color, markersize=5)
            texts.append(f"{metric} {name} {difference:+.5f}")
        axes.axvline(0, color="#444", linewidth=1)
        names = [name.replace("_", " ") for name in found]
        axes.set_yticks(range(len(found)), names, fontsize=7)
        axes.set_ylim(len(found) - 0.5, -0.6)
        axes.xaxis.set_major_locator(MaxNLocator(4))
    title = "Learned fusion minus other orders, with 95 % intervals"
    return Picture(title, f"{title}: {', '.join(texts)}.", to_png(figure))


def front_picture(
    grid: FusionGrid,
    objectives: Sequence[str],
    axes: tuple[int, int],
    rankings: Mapping[str, Mapping[str, Any]],
) -> Picture:
    """One objective's value against another's, under every weight vector.

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
        color="#444",
        linewidth=1,
        label="front: none is better in both",
    )
    texts = []
    for place, (name, entry) in enumerate(rankings.items()):
        x, y = (entry["captured"][axis] for axis in names)
        texts.append(f"{name} {x:.3f} and {y:.3f}")
        plot.plot(
            x,
            y,
            _MARKERS[place % len(_MARKERS)],
            color=PALETTE[place % len(PALETTE)],
            markersize=7,
            markeredgecolor="white",
            label=name.replace("_", " "),
        )
    for axis, name in zip((plot.xaxis, plot.yaxis), names, strict=True):
        axis.set_major_formatter(PercentFormatter(1.0))
        axis.set_label_text(f"{name}: share of the best possible", fontsize=8)
    plot.legend(fontsize=7, frameon=False)
    alt = (
        f"Shares that {len(grid.weights)} constant weight vectors capture of "
        f"{names[0]} and {names[1]}; {'; '.join(texts)}."
    )
    return Picture(f"{names[0]} against {names[1]}", alt, to_png(figure))
