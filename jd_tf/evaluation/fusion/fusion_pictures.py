"""Pictures of learned weights and of what they are worth."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator, PercentFormatter

from jd_tf.evaluation.fusion.observation import LEARNED
from jd_tf.evaluation.pictures import Picture, new_figure, to_png

OBJECTIVE_COLORS = (
    *("#1d4e89", "#2a7f62", "#d39b00", "#c1121f", "#7b2d8b", "#0a9396"),
    *("#9c6644", "#6c757d"),
)


def objective_colors(names: Sequence[str]) -> dict[str, str]:
    """The colour an objective has in every picture and bar."""
    count = len(OBJECTIVE_COLORS)
    return {n: OBJECTIVE_COLORS[i % count] for i, n in enumerate(names)}


def segment_picture(
    segmentation: str, table: Mapping[str, Mapping[str, Any]]
) -> Picture:
    """Mean shares of the weights in every segment, as stacked bars.

    Args:
        segmentation: its name.
        table: segment -> as of `weights_by_segment`.
    """
    names = list(next(iter(table.values()))["shares"])
    colors = objective_colors(names)
    figure, axes = new_figure(5.2, 1.5 + 0.42 * len(table))
    for place, entry in enumerate(table.values()):
        start = 0.0
        for name in names:
            share = entry["shares"][name]["mean"]
            label = name if place == 0 else None
            axes.barh(place, share, left=start, color=colors[name], label=label)
            if share >= 0.06:
                axes.annotate(
                    f"{100 * share:.0f}",
                    (start + share / 2, place),
                    ha="center",
                    va="center",
                    fontsize=7,
                    color="white",
                )
            start += share
    axes.set_yticks(range(len(table)), list(table), fontsize=8)
    axes.set_ylim(len(table) - 0.4, -0.6)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("share of the fusion weights", fontsize=8)
    figure.legend(
        loc="outside upper center", ncols=3, fontsize=7, frameon=False
    )
    said = "; ".join(
        f"{segment}: "
        + ", ".join(
            f"{name} {one['mean']:.1%}" for name, one in entry["shares"].items()
        )
        for segment, entry in table.items()
    )
    title = f"Weights by {segmentation.replace('_', ' ')}"
    return Picture(title, f"{title}. {said}.", to_png(figure))


def rivals_picture(compared: Mapping[str, Any], metric: str) -> Picture:
    """The learned order minus every other one, with intervals.

    Args:
        compared: of `compare_rivals`.
        metric: a key of its rankings.
    """
    found = compared["differences"][LEARNED]
    figure, axes = new_figure(5.2, 1.0 + 0.45 * len(found))
    said = []
    for place, (name, entry) in enumerate(found.items()):
        apart = entry[metric]
        bounds = apart["interval"]
        known = not np.isnan(bounds[0])
        color = "#6c757d"
        if known and bounds[0] > 0:
            color = "#2a7f62"
        elif known and bounds[1] < 0:
            color = "#c1121f"
        if known:
            axes.plot(bounds, [place, place], color=color, linewidth=2.5)
        axes.plot(apart["difference"], place, "o", color=color, markersize=6)
        said.append(f"{name} {apart['difference']:+.5f}")
    axes.axvline(0, color="#444", linewidth=1)
    axes.set_yticks(
        range(len(found)), [n.replace("_", " ") for n in found], fontsize=8
    )
    axes.set_ylim(len(found) - 0.5, -0.6)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel("learned minus theirs (bar: 95 % interval)", fontsize=8)
    title = f"Learned fusion against others: {metric}"
    return Picture(title, f"{title}: {', '.join(said)}.", to_png(figure))


def regret_picture(agreement: Sequence[Mapping[str, Any]]) -> Picture:
    """Regret of the learned weights in every segment.

    Args:
        agreement: of `agree_with_grid`.
    """
    figure, axes = new_figure(5.2, 1.0 + 0.3 * len(agreement))
    labels, said = [], []
    for place, entry in enumerate(agreement):
        label = f"{entry['segmentation']}: {entry['segment']}"
        labels.append(label.replace("_", " "))
        said.append(f"{label} {entry['regret']:+.5f}")
        if not np.isnan(entry["regret_interval"][0]):
            axes.plot(entry["regret_interval"], [place, place], color="#1d4e89")
        axes.plot(entry["regret"], place, "o", color="#1d4e89", markersize=5)
    axes.axvline(0, color="#444", linewidth=1)
    axes.set_yticks(range(len(labels)), labels, fontsize=7)
    axes.set_ylim(len(labels) - 0.5, -0.6)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.set_xlabel("regret in value-NDCG@10 (bar: 95 % interval)", fontsize=8)
    title = "Regret against the best constant weights of each segment"
    return Picture(title, f"{title}: {'; '.join(said)}.", to_png(figure))
