"""Pictures of two versions on the same requests."""

import numpy as np
from matplotlib.ticker import PercentFormatter

from jd_tf.evaluation.pictures import Picture, new_figure, to_png
from jd_tf.serving.deploy.ranking_agreement import RankingAgreement
from jd_tf.serving.deploy.replay import AFTER, BEFORE, Replay

_COLORS = {BEFORE: "#1d4e89", AFTER: "#c1121f"}
_MAX_POINTS = 5000


def shadow_pictures(
    replayed: Replay, found: list[RankingAgreement], top_k: int
) -> list[Picture]:
    """Scores, tops, orders and times, one picture each.

    Args:
        replayed: answers of both.
        found: one a request.
        top_k: places that count as the top.
    """
    return [
        _scores(replayed),
        _shares(
            [one.overlap for one in found],
            (0.0, 1.0),
            f"Top {top_k}",
            f"share of the first {top_k} that both have",
        ),
        _shares(
            [one.tau for one in found if not np.isnan(one.tau)],
            (-1.0, 1.0),
            "Whole order",
            "Kendall's tau-b of all candidates (1: same order)",
        ),
        _times(replayed),
    ]


def _scores(replayed: Replay) -> Picture:
    before, after = (
        np.concatenate([pair[side] for pair in replayed.scores])
        for side in (0, 1)
    )
    step = -(-len(before) // _MAX_POINTS)
    figure, axes = new_figure()
    axes.plot(
        before[::step],
        after[::step],
        ".",
        color=_COLORS[AFTER],
        markersize=3,
        alpha=0.4,
    )
    low, high = min(before.min(), after.min()), max(before.max(), after.max())
    axes.plot([low, high], [low, high], color="#6c757d", linewidth=1)
    axes.set_xlabel("score before", fontsize=8)
    axes.set_ylabel("score after", fontsize=8)
    change = np.abs(before - after).max()
    return Picture(
        "Scores of the same candidates",
        f"{len(before):,} candidates, score after against score before; the "
        f"largest change is {change:.3g}",
        to_png(figure),
    )


def _shares(
    values: list[float], limits: tuple[float, float], title: str, label: str
) -> Picture:
    figure, axes = new_figure()
    said = "undefined for all requests"
    if values:
        weights = np.full(len(values), 1 / len(values))
        axes.hist(
            values, 20, range=limits, weights=weights, color=_COLORS[AFTER]
        )
        said = f"mean {np.mean(values):.3f}, lowest {np.min(values):.3f}"
    axes.set_xlim(*limits)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel(label, fontsize=8)
    axes.set_ylabel("requests", fontsize=8)
    return Picture(title, f"{label}: {said}", to_png(figure))


def _times(replayed: Replay) -> Picture:
    figure, axes = new_figure()
    said = []
    for name, seconds in replayed.seconds.items():
        ordered = 1e3 * np.sort(seconds)
        shares = np.arange(1, len(ordered) + 1) / len(ordered)
        axes.step(
            ordered, shares, where="post", color=_COLORS[name], label=name
        )
        p50, p99 = np.percentile(ordered, (50, 99))
        said.append(f"{name} {p50:.1f} ms at half, {p99:.1f} ms at 99 %")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("milliseconds of a call (logarithmic)", fontsize=8)
    axes.set_ylabel("calls that took no longer", fontsize=8)
    axes.legend(fontsize=8, frameon=False)
    return Picture("Time of a call", "; ".join(said), to_png(figure))
