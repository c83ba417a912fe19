"""The summary of a data set, as one picture."""

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from jd_tf.data.summary_text import span_text

# Told apart by people who see colours differently, and in grey.
_COLORS = {"train": "#0072B2", "validation": "#E69F00", "test": "#009E73"}
_LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_UNITS = (("days", 86_400), ("hours", 3600), ("minutes", 60), ("seconds", 1))


def draw_summary(summary: dict[str, Any], path: Path) -> None:
    """Draws history lengths, label rates, requests over time, candidates.

    Args:
        summary: what `jd_tf.data.summary.summarize` returns.
        path: PNG file; overwritten.
    """
    figure = Figure(figsize=(11, 7.5), layout="constrained")
    FigureCanvasAgg(figure)
    splits = summary["splits"]
    requests = sum(split["requests"] for split in splits.values())
    figure.suptitle(
        f"Data set {summary['schema']}: {requests:,} requests", fontsize=13
    )
    (history, labels), (time, candidates) = figure.subplots(2, 2)
    _draw_histories(history, splits)
    _draw_labels(labels, splits)
    _draw_time(time, splits)
    _draw_candidates(candidates, splits)
    for axes in (history, labels, time, candidates):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#dddddd", linewidth=0.8)
        axes.set_axisbelow(True)
    figure.savefig(path, dpi=120)


def _draw_histories(axes: Axes, splits: dict[str, Any]) -> None:
    behaviors = next(iter(splits.values()))["histories"]
    for behavior, color in zip(behaviors, _LINES * 9, strict=False):
        counts: dict[int, int] = {}
        for split in splits.values():
            histogram = split["histories"][behavior]["histogram"]
            for length, count in histogram.items():
                counts[int(length)] = counts.get(int(length), 0) + count
        lengths = np.arange(max(counts) + 2)
        sizes = np.array([counts.get(int(n), 0) for n in lengths])
        # Share of the requests with at least that many events.
        share = sizes[::-1].cumsum()[::-1] / sizes.sum()
        axes.step(lengths, 100 * share, where="mid", color=color, lw=2)
        axes.plot([], [], color=color, lw=2, label=behavior)
    axes.set(
        title="History lengths, all splits",
        xlabel="length (events)",
        ylabel="requests with at least as many (%)",
        ylim=(0, 105),
    )
    axes.set_xlim(left=0)
    axes.legend(frameon=False)


def _draw_labels(axes: Axes, splits: dict[str, Any]) -> None:
    objectives = list(next(iter(splits.values()))["labels"])
    width = 0.8 / len(splits)
    for index, (name, split) in enumerate(splits.items()):
        rates = [100 * (split["labels"][o]["rate"] or 0) for o in objectives]
        places = np.arange(len(objectives)) + (index - 1) * width
        bars = axes.bar(places, rates, width, color=_COLORS[name], label=name)
        texts = [_percent(rate) for rate in rates]
        axes.bar_label(bars, texts, fontsize=7, rotation=90, padding=3)
    names = [name.replace("_", "\n") for name in objectives]
    axes.set_xticks(range(len(objectives)), names)
    axes.set(title="Label rates", ylabel="positives per impression (%)")
    axes.set_yscale("symlog", linthresh=0.1)
    axes.set_ylim(0, 300)
    axes.set_yticks([0, 0.1, 1, 10, 100], ["0", "0.1", "1", "10", "100"])
    axes.legend(frameon=False, ncols=3, loc="upper right")


def _draw_time(axes: Axes, splits: dict[str, Any]) -> None:
    timed = {n: s["time"] for n, s in splits.items() if s["time"]}
    if not timed:
        sizes = [split["requests"] for split in splits.values()]
        colors = [_COLORS[name] for name in splits]
        bars = axes.bar(list(splits), sizes, color=colors)
        axes.bar_label(bars, [f"{size:,}" for size in sizes], padding=2)
        axes.set(title="Requests (the log has no clock)", ylabel="requests")
        axes.margins(y=0.12)
        return
    first = min(time["first"] for time in timed.values())
    span = max(time["last"] for time in timed.values()) - first
    covered = sum(time["last"] - time["first"] for time in timed.values())
    # Splits far apart would be needles on one time line: lay them over.
    apart = covered < span / 2
    if apart:
        span = max(time["last"] - time["first"] for time in timed.values())
    unit, seconds = next(u for u in _UNITS if span >= 2 * u[1] or u[1] == 1)
    for name, time in timed.items():
        start = 0 if apart else time["first"] - first
        counts = np.array(time["requests"])
        edges = start + np.arange(len(counts) + 1) * time["bin_seconds"]
        begin = datetime.fromtimestamp(time["first"], timezone.utc)
        label = (
            f"{name}: {span_text(time['last'] - time['first'])} "
            f"from {begin:%Y-%m-%d %H:%M}"
        )
        axes.stairs(
            counts, edges / seconds, color=_COLORS[name], lw=2, label=label
        )
    width = next(iter(timed.values()))["bin_seconds"]
    since = "its split's" if apart else "the"
    axes.set(
        title="Requests over time",
        xlabel=f"since {since} first request ({unit})",
        ylabel=f"requests per {span_text(width)}",
    )
    axes.margins(y=0.35)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=9)


def _draw_candidates(axes: Axes, splits: dict[str, Any]) -> None:
    values = sorted(
        {int(v) for s in splits.values() for v in s["candidates"]["histogram"]}
    )
    width = 0.8 / len(splits)
    for index, (name, split) in enumerate(splits.items()):
        histogram = split["candidates"]["histogram"]
        share = [
            100 * histogram.get(str(value), 0) / split["requests"]
            for value in values
        ]
        places = np.array(values) + (index - 1) * width
        axes.bar(places, share, width, color=_COLORS[name], label=name)
    if len(values) <= 12:
        axes.set_xticks(values)
    if len(values) == 1:
        axes.set_xlim(values[0] - 2, values[0] + 2)
    axes.set(
        title="Candidates per request",
        xlabel="candidates",
        ylabel="requests of the split (%)",
    )
    axes.margins(y=0.15)
    axes.legend(frameon=False)


def _percent(rate: float) -> str:
    return "0" if not rate else f"{rate:.2g}"
