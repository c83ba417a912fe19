"""Pictures of attention: against recency, actions, and what is shared."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from jd_tf.evaluation.attention_log import (
    COUNT_BUCKETS,
    DWELL_BUCKETS,
    AttentionLog,
    bucket_means,
    to_buckets,
)
from jd_tf.evaluation.pictures import Picture, new_figure, tidy, to_png

_HEAD_COLORS = (
    "#1d4e89",
    "#c1121f",
    "#2a7f62",
    "#d39b00",
    "#7b2d8b",
    "#0a9396",
    "#9c6644",
    "#495057",
)
_AGE_TICKS = {
    "1 s": 1,
    "10 s": 10,
    "1 min": 60,
    "10 min": 600,
    "1 h": 3600,
    "6 h": 21_600,
    "1 day": 86_400,
    "1 week": 604_800,
    "1 month": 2_629_800,
    "6 months": 15_778_800,
    "2 years": 63_115_200,
}
_LIFT = "attention (1 = spread evenly)"
_MIN_EVENTS = 20


def recency_picture(log: AttentionLog) -> Picture:
    """Mean lift against the age of the event, a line a head."""
    age = np.maximum(log.get("age").astype(np.float64), 1.0)
    edges = 10 ** np.arange(0.0, np.log10(age.max()) + 0.25, 0.25)
    bucket = np.maximum(np.searchsorted(edges, age, side="right") - 1, 0)
    means, half, events = bucket_means(
        log.get("lift"), bucket, log.get("request"), len(edges)
    )
    enough = events >= min(_MIN_EVENTS, events.max())
    figure, axes = new_figure(5.2, 3.4)
    middle = edges[enough] * 10**0.125
    for head in range(means.shape[1]):
        color = _head_color(head)
        mean, spread = means[enough, head], half[enough, head]
        axes.plot(
            middle, mean, "o-", color=color, markersize=3, label=f"head {head}"
        )
        axes.fill_between(
            middle, mean - spread, mean + spread, color=color, alpha=0.15
        )
    axes.axhline(1.0, color="#444", linewidth=0.8, linestyle="--")
    axes.set_xscale("log")
    low, high = middle.min() / 1.5, middle.max() * 1.5
    axes.set_xlim(low, high)
    ticks = {n: s for n, s in _AGE_TICKS.items() if low <= s <= high}
    axes.set_xticks(list(ticks.values()), list(ticks), rotation=40, fontsize=7)
    axes.minorticks_off()
    axes.set_xlabel("age of the event (log scale)", fontsize=8)
    _finish(axes)
    title = f"{log.behavior.name}: attention against recency"
    alt = (
        f"Mean attention of each head to {log.behavior.name} events by age; "
        f"{log.num_events:,} events of {log.num_read:,} requests."
    )
    return Picture(title, alt, to_png(figure))


def action_pictures(log: AttentionLog) -> list[Picture]:
    """Mean lift against dwell and every action counter."""
    columns: dict[str, tuple[np.ndarray, Mapping[str, float]]] = {}
    if log.behavior.dwell:
        columns["dwell time"] = (log.get("dwell"), DWELL_BUCKETS)
    for place, name in enumerate(log.behavior.action_counters):
        counts = log.get("counts")[:, place]
        columns[name.replace("_", " ")] = (counts, COUNT_BUCKETS)
    pictures = []
    for name, (values, buckets) in columns.items():
        found = bucket_means(
            log.get("lift"),
            to_buckets(values, buckets),
            log.get("request"),
            len(buckets),
        )
        pictures.append(
            _bars(
                f"{log.behavior.name}: attention against {name}",
                name,
                list(buckets),
                *found,
            )
        )
    return pictures


def shared_picture(log: AttentionLog) -> Picture:
    """Mean lift of events that share an id with the candidate, or do not."""
    groups, parts = [], []
    for column in log.schema.item_id_columns:
        name = column.name.removesuffix("_id")
        for kind, label in (("same", f"same {name}"), ("other", "other")):
            sums = log.get(f"{kind}_{column.name}")
            pairs = sums[:, -1]
            groups.append(label)
            parts.append(_ratio(sums[:, :-1], pairs))
    means, half, pairs = (np.stack(part) for part in zip(*parts, strict=True))
    return _bars(
        f"{log.behavior.name}: attention against what they share",
        "what the event has in common with the candidate",
        groups,
        means,
        half,
        pairs,
    )


def spread_picture(logs: Sequence[AttentionLog]) -> Picture:
    """Behaviours side by side: how many events a head in effect reads."""
    figure, axes = new_figure(5.2, 3.4)
    for place, log in enumerate(logs):
        effective, length = log.get("effective"), log.get("length")
        share = effective / length[:, None]
        for head in range(share.shape[1]):
            offset = _offset(head, share.shape[1])
            axes.bar(
                place + offset,
                share[:, head].mean(),
                0.8 / share.shape[1],
                color=_head_color(head),
                label=f"head {head}" if place == 0 else None,
            )
    labels = [
        f"{log.behavior.name}\n{log.get('length').mean():.1f} events"
        for log in logs
    ]
    axes.set_xticks(range(len(logs)), labels, fontsize=8)
    axes.set_ylim(0, 1.05)
    axes.set_xlabel("behaviour, and mean length of its history", fontsize=8)
    axes.set_ylabel("share of events in effect read", fontsize=8)
    _legend(axes)
    alt = (
        "Exponentiated entropy of the attention over the number of events, "
        "for every behaviour and head; 1 is spread evenly."
    )
    return Picture("How widely each head reads", alt, to_png(figure))


def _bars(
    title: str,
    label: str,
    groups: Sequence[str],
    means: np.ndarray,
    half: np.ndarray,
    count: np.ndarray,
) -> Picture:
    """Groups of bars, one bar a head."""
    figure, axes = new_figure(5.2, 3.4)
    heads = means.shape[1]
    for head in range(heads):
        axes.bar(
            np.arange(len(groups)) + _offset(head, heads),
            np.nan_to_num(means[:, head]),
            0.8 / heads,
            yerr=np.nan_to_num(half[:, head]),
            color=_head_color(head),
            error_kw={"elinewidth": 0.7},
            label=f"head {head}",
        )
    axes.axhline(1.0, color="#444", linewidth=0.8, linestyle="--")
    ticks = [f"{g}\n{int(n):,}" for g, n in zip(groups, count, strict=True)]
    axes.set_xticks(range(len(groups)), ticks, fontsize=7)
    axes.set_xlabel(f"{label}; below: how many", fontsize=8)
    _finish(axes)
    tidy(axes)
    axes.tick_params(axis="x", labelsize=7)
    alt = f"{title}: " + "; ".join(
        f"{group} {np.nanmean(mean):.2f}"
        for group, mean in zip(groups, means, strict=True)
        if not np.isnan(mean).all()
    )
    return Picture(title, alt, to_png(figure))


def _finish(axes: Axes) -> None:
    axes.set_ylabel(_LIFT, fontsize=8)
    axes.set_ylim(bottom=0.0)
    _legend(axes)


def _legend(axes: Axes) -> None:
    """Above the axes, where it hides nothing."""
    axes.legend(
        fontsize=7,
        frameon=False,
        ncols=4,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        borderaxespad=0.2,
    )


def _ratio(
    sums: np.ndarray, count: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """Ratio of sums over requests, its half width, and the count."""
    total = count.sum()
    if not total:
        empty = np.full(sums.shape[1], np.nan)
        return empty, empty, 0.0
    mean = sums.sum(axis=0) / total
    rest = sums - mean * count[:, None]
    return mean, 1.96 * np.sqrt((rest**2).sum(axis=0)) / total, total


def _head_color(head: int) -> str:
    return _HEAD_COLORS[head % len(_HEAD_COLORS)]


def _offset(head: int, heads: int) -> float:
    return 0.8 * ((head + 0.5) / heads - 0.5)
