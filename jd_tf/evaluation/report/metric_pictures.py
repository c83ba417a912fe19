"""Pictures of metrics: learning curves, intervals, reliability, segments."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import (
    LogLocator,
    MaxNLocator,
    NullFormatter,
    PercentFormatter,
)

from jd_tf.evaluation.objective_metrics import NDCG
from jd_tf.evaluation.pictures import (
    PALETTE,
    Picture,
    color_of,
    new_panels,
    share_legend,
    to_png,
)
from jd_tf.evaluation.post_training import CALIBRATION

_LOSS, _VALIDATION = "loss", "validation"
_NOT_DRAWN = ("step", "epoch", "seconds")

# quantity, or quantity and objective -> line -> points
Curves = dict[str, dict[str, list[tuple[float, float]]]]
# objective -> system -> metric -> value
Entries = Mapping[str, Mapping[str, Mapping[str, Any]]]


def by_objective(systems: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Turns system -> objective -> metrics inside out."""
    names = list(next(iter(systems.values()), {}))
    return {
        name: {system: found[name] for system, found in systems.items()}
        for name in names
    }


def interval_picture(entries: Entries, title: str) -> Picture | None:
    """AUC (or NDCG of value) of every system with its interval, if defined."""
    known = {}
    for objective, found in entries.items():
        metric = "auc" if "auc" in next(iter(found.values())) else NDCG
        found = {s: e for s, e in found.items() if e.get(metric) is not None}
        if found:
            label = "AUC" if metric == "auc" else "NDCG@10"
            known[f"{objective}: {label}"] = metric, found
    if not known:
        return None
    most = max(len(found) for _, found in known.values())
    figure, panels = new_panels(list(known), 0.9 + 0.3 * most)
    for name, (metric, found) in known.items():
        axes = panels[name]
        for place, (system, entry) in enumerate(found.items()):
            color, value = color_of(system, place), entry[metric]
            bounds = entry.get(f"{metric}_interval")
            if bounds and None not in bounds:
                axes.plot(bounds, [place, place], color=color, linewidth=2.5)
            axes.plot(value, place, "o", color=color, markersize=5)
            axes.annotate(
                f"{value:.4f}", (value, place), (0, 5),
                textcoords="offset points", ha="center", fontsize=6,
            )  # fmt: skip
        axes.set_yticks(range(len(found)), list(found), fontsize=8)
        axes.set_ylim(len(found) - 0.5, -0.8)
        axes.margins(x=0.15)
        axes.xaxis.set_major_locator(MaxNLocator(4))
    texts = (
        f"{name} " + ", ".join(f"{s} {e[metric]:.4f}" for s, e in found.items())
        for name, (metric, found) in known.items()
    )
    alt = f"Values and 95 % intervals. {'; '.join(texts)}"
    return Picture(title, alt, to_png(figure))


def reliability_picture(entries: Entries, title: str) -> Picture | None:
    """Predicted against observed rates of all systems; None without bins."""
    known = {
        objective: {s: e for s, e in found.items() if _has_bins(e)}
        for objective, found in entries.items()
    }
    known = {objective: found for objective, found in known.items() if found}
    if not known:
        return None
    figure, panels = new_panels(list(known))
    for objective, found in known.items():
        _draw_reliability(panels[objective], found)
    share_legend(figure, next(iter(panels.values())))
    alt = (
        f"{title}: observed against predicted rates in per cent of "
        f"{', '.join(next(iter(known.values())))}, for {', '.join(known)}; "
        "the dashed line is perfect calibration."
    )
    return Picture(title, alt, to_png(figure))


def calibration_pictures(
    systems: Mapping[str, Mapping[str, Any]], reference: str
) -> list[Picture]:
    """Reliability of all systems, and what the ranker's curves change."""
    curves = {
        objective: entry[CALIBRATION]
        for objective, entry in systems.get(reference, {}).items()
        if CALIBRATION in entry
    }
    pictures = [
        reliability_picture(by_objective(systems), "Calibration"),
        reliability_picture(
            {objective: entry["all"] for objective, entry in curves.items()},
            "Calibration before and after the curves",
        ),
        segment_picture(curves),
    ]
    return [picture for picture in pictures if picture is not None]


def segment_picture(curves: Mapping[str, Mapping[str, Any]]) -> Picture | None:
    """Calibration error of every segment, before and after the curves."""
    errors: dict[str, dict[str, dict[str, float]]] = {}
    for objective, entry in curves.items():
        for segmentation, parts in entry["segments"].items():
            for segment, judged in parts.items():
                label = f"{segmentation.replace('_', ' ')}: {segment}"
                found = {w: m["calibration_error"] for w, m in judged.items()}
                found = {w: e for w, e in found.items() if e is not None}
                if found:
                    errors.setdefault(objective, {})[label] = found
    if not errors:
        return None
    most = max(len(lines) for lines in errors.values())
    figure, panels = new_panels(list(errors), 1.0 + 0.26 * most)
    for objective, lines in errors.items():
        axes = panels[objective]
        kinds = dict.fromkeys(when for e in lines.values() for when in e)
        for place, when in enumerate(kinds):
            rows = [row for row, e in enumerate(lines.values()) if when in e]
            values = [e[when] for e in lines.values() if when in e]
            axes.plot(
                values, rows, "o", color=color_of(when, place), label=when
            )
        axes.set_yticks(range(len(lines)), list(lines), fontsize=8)
        axes.set_ylim(len(lines) - 0.5, -0.5)
        axes.set_xlim(left=0)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=""))
        axes.xaxis.set_major_locator(MaxNLocator(4))
    share_legend(figure, next(iter(panels.values())))
    title = "Calibration error by segment (percentage points)"
    texts = (
        f"{objective}, {label} "
        + ", ".join(f"{when} {error:.4f}" for when, error in found.items())
        for objective, lines in errors.items()
        for label, found in lines.items()
    )
    return Picture(title, f"{title}: {'; '.join(texts)}", to_png(figure))


def _draw_reliability(
    axes: Axes, found: Mapping[str, Mapping[str, Any]]
) -> None:
    low, high = np.inf, 0.0
    for place, (system, entry) in enumerate(found.items()):
        predicted, observed, weight = (
            np.array(entry["reliability"][name], np.float64)
            for name in ("predicted", "observed", "weight")
        )
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
        axes.set(xscale="log", yscale="log")
        axes.set(xlim=(0.7 * low, 1.4 * high), ylim=(0.7 * low, 1.4 * high))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 3)))
            # Below two decades Matplotlib names the small ones, too.
            axis.set_minor_formatter(NullFormatter())
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, symbol=""))
    axes.set_xlabel("predicted (%)", fontsize=8)
    axes.set_ylabel("observed (%)", fontsize=8)


def _has_bins(entry: Mapping[str, Any]) -> bool:
    bins = entry.get("reliability") or {"predicted": ()}
    return max(bins["predicted"], default=0.0) > 0


def learning_pictures(
    history: Sequence[Mapping[str, Any]], objectives: Iterable[str]
) -> list[Picture]:
    """Draws rows of `[validation/]quantity[/objective]`; losses come first."""
    objectives = list(objectives)
    main: Curves = {}
    more: Curves = {}
    for place, row in enumerate(history):
        for key, value in row.items():
            if key in _NOT_DRAWN or value is None or not np.isfinite(value):
                continue
            words = key.split("/")
            objective = words.pop() if words[-1] in objectives else ""
            phase = words.pop(0) if words[0] == _VALIDATION else "training"
            panel = "/".join(words).replace("_", " ")
            line = objective or "all objectives"
            into = more
            if panel == _LOSS:
                panel, line, into = f"loss of {line}", phase, main
            elif phase == _VALIDATION:
                panel, into = f"{_VALIDATION} {panel}", main
            point = (row.get("step", place), float(value))
            into.setdefault(panel, {}).setdefault(line, []).append(point)
    titled = (("Learning curves", main), ("More curves", more))
    return [
        _learning_picture(title, curves) for title, curves in titled if curves
    ]


def _learning_picture(title: str, curves: Curves) -> Picture:
    figure, panels = new_panels(list(curves), 2.3)
    texts = []
    for panel, lines in curves.items():
        axes = panels[panel]
        for place, (line, points) in enumerate(lines.items()):
            axes.plot(
                *zip(*points, strict=True),
                color=PALETTE[(place + 1) % len(PALETTE)],
                marker="o" if len(points) < 40 else "",
                markersize=3,
                linewidth=1.2,
                label=line,
            )
            texts.append(f"{panel}, {line} ends at {points[-1][1]:.4g}")
        if len(lines) > 1:
            axes.legend(fontsize=6, framealpha=0.6, labelspacing=0.2)
        axes.set_xlabel("steps", fontsize=8)
    return Picture(title, f"{title}: {'; '.join(texts)}", to_png(figure))
