"""Pictures of fusion: weights by segment, and the front of the grid."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.ticker import PercentFormatter

from jd_tf.evaluation.fusion.grid import FusionGrid
from jd_tf.evaluation.pictures import (
    PALETTE,
    Picture,
    new_figure,
    new_panels,
    share_legend,
    to_png,
)

_MARKERS = "o^sDvPX*"


def segments_picture(
    tables: Mapping[str, Mapping[str, Mapping[str, Any]]],
) -> Picture:
    """Mean shares of the weights in every segment, as stacked bars."""
    most = max(len(table) for table in tables.values())
    titles = {name: name.replace("_", " ") for name in tables}
    figure, panels = new_panels(list(titles.values()), 0.9 + 0.35 * most)
    texts = []
    for segmentation, table in tables.items():
        axes = panels[titles[segmentation]]
        segments = list(table)
        shares = [entry["shares"] for entry in table.values()]
        starts = [0.0] * len(table)
        for t, name in enumerate(shares[0]):
            means = [share[name]["mean"] for share in shares]
            color = PALETTE[(t + 1) % len(PALETTE)]
            places = range(len(table))
            bars = axes.barh(
                places, means, left=starts, color=color, label=name
            )
            labels = [f"{100 * m:.0f}" if m >= 0.08 else "" for m in means]
            axes.bar_label(
                bars, labels, label_type="center", fontsize=7, color="white"
            )
            starts = [s + m for s, m in zip(starts, means, strict=True)]
        for segment, share in zip(segments, shares, strict=True):
            parts = [f"{n} {one['mean']:.1%}" for n, one in share.items()]
            text = f"{titles[segmentation]} {segment}: {', '.join(parts)}"
            texts.append(text)
        axes.set_yticks(range(len(table)), segments, fontsize=8)
        axes.set_ylim(len(table) - 0.4, -0.6)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    share_legend(figure, next(iter(panels.values())))
    title = "Mean shares of the learned weights by segment"
    return Picture(title, f"{title}: {'; '.join(texts)}.", to_png(figure))


def front_picture(
    grid: FusionGrid,
    objectives: Sequence[str],
    axes: tuple[int, int],
    rankings: Mapping[str, Mapping[str, Any]],
) -> Picture:
    """Two objectives under all weight vectors: dots, their front, rankings."""
    figure, plot = new_figure(5.6, 4.2)
    count, front = len(grid.weights), grid.front(*axes)
    first, second = grid.captured[list(axes)]
    label = f"{count} weight vectors"
    plot.scatter(first, second, s=4, color="#c9c9c9", label=label)
    label = "front: none is better in both"
    plot.plot(
        first[front], second[front], color="#444", linewidth=1, label=label
    )
    names = [objectives[axis] for axis in axes]
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
        f"Shares that {count} constant weight vectors capture of "
        f"{names[0]} and {names[1]}; {'; '.join(texts)}."
    )
    return Picture(f"{names[0]} against {names[1]}", alt, to_png(figure))
