"""Pictures of metrics: systems side by side, and their calibration."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator, PercentFormatter

from jd_tf.evaluation.pictures import Picture, color_of, new_figure, to_png


def interval_picture(
    entries: Mapping[str, Mapping[str, Any]], metric: str, title: str
) -> Picture | None:
    """Every system's value of a metric with its interval.

    Args:
        entries: system -> metric -> number, of one objective.
        metric: e.g. "auc".
        title: heading, and label of the axis.
    """
    known = {s: e for s, e in entries.items() if e.get(metric) is not None}
    if not known:
        return None
    figure, axes = new_figure(height=0.9 + 0.36 * len(known))
    for place, (system, entry) in enumerate(known.items()):
        color, value = color_of(system, place), entry[metric]
        bounds = entry.get(f"{metric}_interval")
        if bounds and None not in bounds:
            axes.plot(bounds, [place, place], color=color, linewidth=2.5)
        axes.plot(value, place, "o", color=color, markersize=6)
        axes.annotate(
            f"{value:.4f}",
            (value, place),
            (0, 6),
            textcoords="offset points",
            ha="center",
            fontsize=7,
        )
    axes.set_yticks(range(len(known)), list(known), fontsize=8)
    axes.set_ylim(len(known) - 0.5, -0.7)
    axes.margins(x=0.12)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel(f"{title} (bar: 95 % interval)", fontsize=8)
    values = ", ".join(f"{s} {e[metric]:.4f}" for s, e in known.items())
    return Picture(title, f"{title}: {values}", to_png(figure))


def reliability_picture(
    entries: Mapping[str, Mapping[str, Any]], objective: str
) -> Picture | None:
    """Predicted against observed rates of every calibrated system.

    Args:
        entries: system -> metric -> value, of one objective.
        objective: its name.
    """
    known = {s: e for s, e in entries.items() if _bins(e) is not None}
    if not known:
        return None
    figure, axes = new_figure(height=3.6)
    low, high = np.inf, 0.0
    for place, (system, entry) in enumerate(known.items()):
        predicted, observed, weight = _bins(entry)
        count = np.maximum(weight * entry["num_impressions"], 1.0)
        spread = 1.96 * np.sqrt(observed * (1 - observed) / count)
        axes.errorbar(
            predicted,
            observed,
            # Every system has about the same; all of them hide the picture.
            yerr=spread if place == 0 else None,
            fmt="o-",
            color=color_of(system, place),
            label=system,
            markersize=3,
            linewidth=1,
            elinewidth=0.7,
            zorder=3 if place == 0 else 2,
        )
        rates = np.concatenate([predicted, observed])
        low, high = min(low, rates[rates > 0].min()), max(high, rates.max())
    axes.plot([low, high], [low, high], "--", color="#444", linewidth=0.8)
    if high > 20 * low:
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(0.7 * low, 1.4 * high)
        axes.set_ylim(0.7 * low, 1.4 * high)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("predicted rate (%)", fontsize=8)
    axes.set_ylabel("observed rate (%)", fontsize=8)
    axes.legend(fontsize=7, frameon=False)
    alt = (
        f"Reliability of {objective}: observed against predicted rates of "
        f"{', '.join(known)}; the dashed line is perfect calibration."
    )
    return Picture(f"Calibration of {objective}", alt, to_png(figure))


def _bins(entry: Mapping[str, Any]) -> tuple[np.ndarray, ...] | None:
    bins = entry.get("reliability")
    if not bins or not bins["predicted"]:
        return None
    names = ("predicted", "observed", "weight")
    arrays = tuple(np.array(bins[name], np.float64) for name in names)
    return arrays if arrays[0].max() > 0 else None
