"""Pictures of attention: against the age of events, and of one request."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from jd_tf.evaluation.pictures import PALETTE, Picture, new_figure, to_png

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
_UNITS = (("y", 31_557_600), ("d", 86_400), ("h", 3600), ("min", 60))
_MIN_EVENTS = 20


def recency_picture(
    behavior: str, lift: np.ndarray, age: np.ndarray, request: np.ndarray
) -> Picture:
    """Mean lift against the age of the event, a line a head.

    Args:
        behavior: its name.
        lift: [E, H], 1 is an even share.
        age: [E] seconds.
        request: [E] int from 0.
    """
    age = np.maximum(age.astype(np.float64), 1.0)
    edges = 10 ** np.arange(0.0, np.log10(age.max()) + 0.25, 0.25)
    bucket = np.maximum(np.searchsorted(edges, age, side="right") - 1, 0)
    means, half, events = bucket_means(lift, bucket, request, len(edges))
    enough = events >= min(_MIN_EVENTS, events.max())
    figure, axes = new_figure(5.2, 3.4)
    middle = edges[enough] * 10**0.125
    for head in range(means.shape[1]):
        color = PALETTE[head % len(PALETTE)]
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
    axes.set_ylabel("attention (1 = spread evenly)", fontsize=8)
    axes.set_ylim(bottom=0.0)
    figure.legend(loc="outside upper left", ncols=4, fontsize=7, frameon=False)
    return Picture(
        f"{behavior}: attention against recency",
        f"Mean attention of each head to {behavior} events by age, with 95 % "
        f"intervals; {len(age):,} events.",
        to_png(figure),
    )


def request_picture(
    title: str, histories: Mapping[str, Mapping[str, np.ndarray]]
) -> Picture:
    """One real request: heads against events, and the actions at each.

    Args:
        title: of the picture.
        histories: behaviour -> `lift` [L, H], `age` [L] seconds, and rows
            named after actions, [L] each; real events only, newest first.
    """
    heights = []
    for rows in histories.values():
        heights += [rows["lift"].shape[1], max(len(rows) - 2, 0.01)]
    figure = Figure(
        figsize=(7.2, 0.9 * len(histories) + 0.24 * sum(heights)),
        layout="constrained",
    )
    grid = figure.subplots(len(heights), 1, height_ratios=heights)
    for place, (behavior, rows) in enumerate(histories.items()):
        upper, lower = grid[2 * place], grid[2 * place + 1]
        lift = rows["lift"].T
        limit = max(2.0, float(lift.max()))
        image = upper.imshow(
            lift, aspect="auto", cmap="YlOrRd", vmin=0.0, vmax=limit
        )
        heads = [f"head {h}" for h in range(len(lift))]
        upper.set_yticks(range(len(lift)), heads, fontsize=7)
        upper.set_title(f"{behavior}, newest first", fontsize=8, loc="left")
        figure.colorbar(image, ax=upper, pad=0.01).ax.tick_params(labelsize=6)
        actions = [name for name in rows if name not in ("lift", "age")]
        bottom = upper
        if actions:
            table = np.log1p(np.stack([rows[name] for name in actions]))
            peak = np.maximum(table.max(axis=1, keepdims=True), 1e-9)
            lower.imshow(table / peak, aspect="auto", cmap="Greys", vmin=0)
            labels = [name.replace("_", " ") for name in actions]
            lower.set_yticks(range(len(labels)), labels, fontsize=7)
            upper.set_xticks([])
            bottom = lower
        else:
            lower.set_visible(False)
        step = max(1, len(rows["age"]) // 12)
        shown = range(0, len(rows["age"]), step)
        ages = [age_text(rows["age"][i]) for i in shown]
        bottom.set_xticks(list(shown), ages, rotation=40, fontsize=7)
        bottom.set_xlabel("age of the event", fontsize=8)
    alt = f"{title}: attention of every head to every event of the histories."
    return Picture(title, alt, to_png(figure))


def bucket_means(
    lift: np.ndarray, bucket: np.ndarray, request: np.ndarray, num_buckets: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean lift a bucket, with 95 % intervals that respect requests.

    Events of one request share its unit of attention, so the spread is taken
    between requests (linearised ratio of sums).

    Args:
        lift: [E, H].
        bucket: [E] int from 0.
        request: [E] int from 0.
        num_buckets: K.

    Returns:
        means [K, H], half widths [K, H], events [K]; nan where none fell.

    References:
        William Cochran, "Sampling Techniques", Wiley, 1977, chapter 6.
    """
    cells, place = np.unique(
        bucket.astype(np.int64) * (request.max(initial=0) + 1) + request,
        return_inverse=True,
    )
    owner = cells // (request.max(initial=0) + 1)

    def total(values: np.ndarray, into: np.ndarray, size: int) -> np.ndarray:
        return np.stack([np.bincount(into, v, size) for v in values.T], 1)

    count = np.bincount(place, minlength=len(cells))
    sums = total(lift, place, len(cells))
    events = np.bincount(bucket, minlength=num_buckets)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = total(sums, owner, num_buckets) / events[:, None]
        rest = sums - means[owner] * count[:, None]
        variance = total(rest**2, owner, num_buckets)
        half = 1.96 * np.sqrt(variance) / events[:, None]
    return means, half, events


def age_text(seconds: float) -> str:
    """E.g. "3 h"; whole units, rounded."""
    for unit, size in _UNITS:
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
