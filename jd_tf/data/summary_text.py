"""The summary of a data set, for people."""

from datetime import datetime, timezone
from typing import Any


def summary_text(summary: dict[str, Any]) -> str:
    """A page of text.

    Args:
        summary: what `jd_tf.data.summary.summarize` returns.
    """
    splits = summary["splits"]
    lines = [f"Data set {summary['schema']}", ""]
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


def span_text(seconds: float) -> str:
    """A time span in the largest unit of which it has at least one."""
    for unit, size in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            number = f"{seconds / size:.1f}".removesuffix(".0")
            return f"{number} {unit}{'s' * (number != '1')}"
    return f"{seconds:.0f} second{'s' * (seconds != 1)}"


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
    return f"{label['positives']:,} ({label['rate']:.2%})"


def _range(histogram: dict[str, int]) -> str:
    values = [int(value) for value in histogram]
    low, high = min(values), max(values)
    return f"{low}" if low == high else f"{low} to {high}"


def _span(time: dict[str, Any] | None) -> list[str]:
    if time is None:
        return ["no clock", "", ""]
    ends = [
        datetime.fromtimestamp(time[end], timezone.utc).strftime(
            "%Y-%m-%d %H:%M:%S"
        )
        for end in ("first", "last")
    ]
    return [*ends, span_text(time["last"] - time["first"])]


def _table(header: list[str], rows: list[list[str]]) -> list[str]:
    """Columns as wide as their widest cell; numbers to the right."""
    cells = [header, *rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    return [
        "  "
        + "  ".join(
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
