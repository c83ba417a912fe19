"""Pictures of likeness: cosines by class, neighbours, expert use."""

from collections.abc import Sequence

import numpy as np
from matplotlib.ticker import MaxNLocator, PercentFormatter

from jd_tf.evaluation.pictures import Picture, color_of, new_figure, to_png
from jd_tf.evaluation.similarity.gate_use import GateUse
from jd_tf.evaluation.similarity.measures import Space

_SAME, _CROSS = "#c1121f", "#6c757d"
_MAX_CATEGORIES = 30


def cosine_picture(space: Space) -> Picture:
    """How alike pairs of one category are, and pairs of two."""
    figure, axes = new_figure()
    counts = space.counts
    middles = 0.5 * (counts.edges[1:] + counts.edges[:-1])
    width = np.diff(counts.edges)
    for label, pairs, color in (
        ("one category", counts.same, _SAME),
        ("two categories", counts.cross, _CROSS),
    ):
        if pairs.sum():
            density = pairs / pairs.sum() / width
            axes.fill_between(middles, density, color=color, alpha=0.25)
            axes.plot(middles, density, color=color, label=label)
    seen = np.flatnonzero(counts.same + counts.cross)
    if len(seen):
        axes.set_xlim(counts.edges[seen[0]] - 0.02, counts.edges[seen[-1] + 1])
    axes.set_ylim(0, None)
    axes.set_xlabel("cosine of two items", fontsize=8)
    axes.set_ylabel("density", fontsize=8)
    axes.legend(fontsize=7, frameon=False)
    same, cross = counts.means
    return Picture(
        f"{space.name}: pairs of items",
        f"Cosines in {space.name}: mean {same:.3f} in one category, "
        f"{cross:.3f} across; a pair of one category is the more alike with "
        f"a chance of {counts.separation:.3f}.",
        to_png(figure),
    )


def measure_picture(title: str, spaces: Sequence[Space]) -> Picture:
    """One measure in every space, beside chance.

    Args:
        title: name of the measure, which all spaces have.
        spaces: in order.
    """
    figure, axes = new_figure(height=1.1 + 0.36 * len(spaces))
    for place, space in enumerate(spaces):
        measure = space.measures[title]
        color = color_of("", place)
        reach = 1.96 * np.nan_to_num(measure.standard_error)
        bar = [measure.mean - reach, measure.mean + reach]
        axes.plot(bar, [place, place], color=color, linewidth=2.5)
        axes.plot(measure.mean, place, "o", color=color, markersize=6)
        axes.plot(measure.chance_mean, place, "|", color="#444", markersize=14)
    axes.set_yticks(
        range(len(spaces)), [space.name for space in spaces], fontsize=8
    )
    axes.set_ylim(len(spaces) - 0.5, -0.5)
    axes.margins(x=0.1)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    higher = spaces[0].measures[title].higher
    if higher:
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    what = "neighbours that share it" if higher else "standard deviations"
    axes.set_xlabel(f"{what} (bar: 95 %; |: at random)", fontsize=8)
    said = ", ".join(
        f"{s.name} {s.measures[title].mean:.3f} (at random "
        f"{s.measures[title].chance_mean:.3f})"
        for s in spaces
    )
    return Picture(f"Neighbours: {title}", f"{title}: {said}", to_png(figure))


def use_picture(
    gates: GateUse, categories: np.ndarray, consumer: int
) -> Picture:
    """Mean weight of every expert in every category, of one gate.

    Args:
        gates: of the items.
        categories: [M], of the same items.
        consumer: which gate.
    """
    names, _, means = gates.use_by(categories)
    weights = means[:_MAX_CATEGORIES, consumer]
    rows = len(weights)
    figure, axes = new_figure(
        max(3.4, 1.4 + 0.45 * weights.shape[1]), 1.3 + 0.2 * rows
    )
    axes.grid(False)
    shown = axes.imshow(
        weights, aspect="auto", cmap="viridis", vmin=0, vmax=weights.max()
    )
    axes.set_yticks(range(rows), names[:_MAX_CATEGORIES].tolist(), fontsize=6)
    axes.set_xticks(
        range(len(gates.experts)), gates.experts, fontsize=6, rotation=45
    )
    bar = figure.colorbar(shown, ax=axes)
    bar.set_label("mean weight", fontsize=7)
    bar.ax.tick_params(labelsize=6)
    name = gates.consumers[consumer]
    most = gates.experts[int(gates.use()[consumer].argmax())]
    return Picture(
        f"Experts by category: gate {name}",
        f"Mean weights of {len(gates.experts)} experts in {rows} categories "
        f"at gate {name}; over all items expert {most} weighs most.",
        to_png(figure),
    )
