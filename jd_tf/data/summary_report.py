"""The summary of a data set for people: text and picture."""

import collections
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import ConciseDateFormatter
from matplotlib.figure import Figure

from jd_tf.data.text_table import text_table

# Told apart by people who see colours differently, and in grey.
_COLORS = {"train": "#0072B2", "validation": "#E69F00", "test": "#009E73"}
_LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_UNITS = (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))


def summary_text(summary: dict[str, Any]) -> str:
    """A page of text from what `summarize` returns."""
    splits = summary["splits"]
    lines = [f"Data set {summary['schema']}", ""]
    for warning in summary.get("warnings", ()):
        lines += [f"WARNING: {warning}", ""]
    lines += _table(
        ["split", "requests", "candidates", "per request", "users", "items"],
        [
            [
                name,
                f"{split['requests']:,}",
                f"{split['candidates']['number']:,}",
                _range(split["candidates"]["histogram"]),
                f"{split['users']:,}",
                f"{split['items']:,}",
            ]
            for name, split in splits.items()
        ],
    )
    objectives = next(iter(splits.values()))["labels"]
    lines += ["", "Labels: positives and their share of the impressions"]
    lines += _table(
        ["split", *objectives],
        [
            [name, *(_rate(split["labels"][o]) for o in objectives)]
            for name, split in splits.items()
        ],
    )
    lines += ["", "Histories: events a request"]
    lines += _table(
        ["split", "behaviour", "mean", "median", "90 %", "longest", "empty"],
        [
            [
                name,
                behavior,
                f"{spread['mean']:.1f}",
                f"{spread['median']:.0f}",
                f"{spread['p90']:.0f}",
                f"{spread['max']}",
                f"{spread['empty_share']:.1%}",
            ]
            for name, split in splits.items()
            for behavior, spread in split["histories"].items()
        ],
    )
    lines += ["", "Time (the log's own clock)"]
    lines += _table(
        ["split", "first request", "last request", "span"],
        [[name, *_span(split["time"])] for name, split in splits.items()],
    )
    return "\n".join([*lines, *_log(summary["log"])])


def draw_summary(summary: dict[str, Any], path: Path) -> None:
    """Draws history lengths, label rates and requests over time."""
    figure = Figure(figsize=(14, 4.2), layout="constrained")
    splits = summary["splits"]
    requests = sum(split["requests"] for split in splits.values())
    figure.suptitle(
        f"Data set {summary['schema']}: {requests:,} requests", fontsize=13
    )
    panels = figure.subplots(1, 3)
    draws = (_draw_histories, _draw_labels, _draw_time)
    for axes, draw in zip(panels, draws, strict=True):
        draw(axes, splits)
        axes.legend(frameon=False, fontsize=9, loc="upper right")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#dddddd", linewidth=0.8)
        axes.set_axisbelow(True)
    figure.savefig(path, dpi=120)


def _draw_histories(axes: Axes, splits: dict[str, Any]) -> None:
    behaviors = next(iter(splits.values()))["histories"]
    for place, behavior in enumerate(behaviors):
        found: collections.Counter = collections.Counter()
        for split in splits.values():
            found.update(split["histories"][behavior]["histogram"])
        lengths = [int(length) for length in found]
        sizes = np.bincount(lengths, [*found.values()], max(lengths) + 2)
        # Share of the requests with at least that many events.
        share = 100 * sizes[::-1].cumsum()[::-1] / sizes.sum()
        color = _LINES[place % len(_LINES)]
        axes.step(
            range(len(share)), share, where="mid", color=color, lw=2,
            label=behavior,
        )  # fmt: skip
    axes.set(
        title="History lengths, all splits",
        xlabel="length (events)",
        ylabel="requests with at least as many (%)",
        ylim=(0, 105),
    )
    axes.set_xlim(left=0)


def _draw_labels(axes: Axes, splits: dict[str, Any]) -> None:
    objectives = list(next(iter(splits.values()))["labels"])
    width = 0.8 / len(splits)
    for index, (name, split) in enumerate(splits.items()):
        rates = [100 * (split["labels"][o]["rate"] or 0) for o in objectives]
        places = np.arange(len(objectives)) + (index - 1) * width
        bars = axes.bar(places, rates, width, color=_COLORS[name], label=name)
        texts = [f"{rate:.2g}" for rate in rates]
        axes.bar_label(bars, texts, fontsize=7, rotation=90, padding=3)
    names = [name.replace("_", "\n") for name in objectives]
    axes.set_xticks(range(len(objectives)), names)
    axes.set(title="Label rates", ylabel="positives per impression (%)")
    axes.set_yscale("symlog", linthresh=0.1)
    axes.set_ylim(0, 300)
    axes.set_yticks([0, 0.1, 1, 10, 100], ["0", "0.1", "1", "10", "100"])


def _draw_time(axes: Axes, splits: dict[str, Any]) -> None:
    timed = {n: s["time"] for n, s in splits.items() if s["time"]}
    if not timed:
        for name, split in splits.items():
            bars = axes.bar(
                name, split["requests"], color=_COLORS[name], label=name
            )
            axes.bar_label(bars, [f"{split['requests']:,}"], padding=2)
        axes.set(title="Requests (the log has no clock)", ylabel="requests")
        axes.margins(y=0.12)
        return
    for name, time in timed.items():
        counts, width = time["requests"], time["bin_seconds"]
        starts = time["first"] + width * np.arange(len(counts))
        axes.step(
            starts.astype("datetime64[s]"),
            counts,
            where="post",
            color=_COLORS[name],
            label=f"{name}: {span_text(time['last'] - time['first'])}",
        )
        axes.set_ylabel(f"requests per {span_text(width)}")
    axes.set_title("Requests over time")
    axes.xaxis.set_major_formatter(
        ConciseDateFormatter(axes.xaxis.get_major_locator())
    )
    axes.margins(y=0.35)
    axes.set_ylim(bottom=0)


def span_text(seconds: float) -> str:
    """A time span in the largest unit of which it has at least one."""
    unit, size = next((u for u in _UNITS if seconds >= u[1]), _UNITS[-1])
    number = f"{seconds / size:.1f}".removesuffix(".0")
    return f"{number} {unit}{'s' * (number != '1')}"


def _log(log: dict[str, Any]) -> list[str]:
    if not log:
        return []
    lines = ["", "The log", f"  bad records skipped: {log['bad_records']:,}"]
    lines += [f"    {message}" for message in log["first_bad_records"]]
    lines += [f"  {name}: {n:,}" for name, n in log["counts"].items()]
    return lines + [f"  {note}" for note in log["notes"]]


def _rate(label: dict[str, Any]) -> str:
    if label["rate"] is None:
        return "none"
    mean = f", mean {label['mean']:.4g}" if "mean" in label else ""
    return f"{label['positives']:,} ({label['rate']:.2%}){mean}"


def _range(histogram: dict[str, int]) -> str:
    values = [int(value) for value in histogram]
    low, high = min(values), max(values)
    return f"{low}" if low == high else f"{low} to {high}"


def _span(time: dict[str, Any] | None) -> list[str]:
    if time is None:
        return ["no clock", "", ""]
    ends = np.array([time["first"], time["last"]]).astype("datetime64[s]")
    texts = [str(end).replace("T", " ") for end in ends]
    return [*texts, span_text(time["last"] - time["first"])]


def _table(header: list[str], rows: list[list[str]]) -> list[str]:
    return [f"  {line}" for line in text_table([header, *rows], num_left=1)]
