"""Pictures of a pipeline: its funnel, and value against diversity."""

from collections.abc import Sequence

from jd_tf.evaluation.pictures import PALETTE, Picture, new_figure, to_png
from jd_tf.pipeline.evaluation.diversity_curve import CurvePoint
from jd_tf.pipeline.evaluation.funnel import FunnelRow

_MARKERS = {"mmr": "o", "dpp": "s", "quota": "^"}


def funnel_picture(rows: Sequence[FunnelRow], num_items: int) -> Picture:
    """Bars of the items that each stage passes on, on a logarithmic scale."""
    figure, axes = new_figure(6.4, 0.9 + 0.55 * (len(rows) + 1))
    names = ["catalogue", *(row.stage for row in rows)]
    sizes = [float(num_items), *(row.size for row in rows)]
    notes = [""] + [
        f"{row.recall:.1%} of wanted, {row.p50_ms:.1f} ms" for row in rows
    ]
    places = list(range(len(names)))
    axes.barh(places, sizes, color=PALETTE[1], height=0.6)
    axes.set_xscale("log")
    axes.set_xlim(1, 30 * max(sizes))
    for place, size, note in zip(places, sizes, notes, strict=True):
        text = f" {size:,.0f}" + (f"   {note}" if note else "")
        axes.text(size, place, text, va="center", fontsize=8)
    axes.set_yticks(places, names, fontsize=9)
    axes.invert_yaxis()
    axes.set_xlabel("items passed on", fontsize=8)
    parts = [
        f"{name} {size:,.0f} items {note}".strip()
        for name, size, note in zip(names, sizes, notes, strict=True)
    ]
    title = "What each stage passes on"
    return Picture(title, f"{title}: {'; '.join(parts)}.", to_png(figure))


def curve_picture(points: Sequence[CurvePoint]) -> Picture:
    """Value kept against the distance within lists, a line a method."""
    figure, axes = new_figure(5.6, 3.8)
    texts = []
    for number, (method, marker) in enumerate(_MARKERS.items()):
        mine = sorted(
            (p for p in points if p.method in (method, "score")),
            key=lambda point: point.distance,
        )
        axes.plot(
            [p.distance for p in mine],
            [p.value_kept for p in mine],
            marker=marker,
            markersize=4,
            color=PALETTE[number],
            label=method,
        )
        texts += [
            f"{method} {p.setting:g}: distance {p.distance:.3f}, value "
            f"{p.value_kept:.4f}"
            for p in mine
        ]
    axes.axhline(0.99, color="#888888", linewidth=0.8, linestyle="--")
    axes.set_xlabel("distance within a list", fontsize=8)
    axes.set_ylabel("value kept", fontsize=8)
    axes.legend(fontsize=8, frameon=False)
    title = "Value kept against diversity gained"
    return Picture(title, f"{title}: {'; '.join(texts)}.", to_png(figure))
