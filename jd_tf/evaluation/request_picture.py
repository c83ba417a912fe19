"""One request's histories: where attention went, and what was done there."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from jd_tf.evaluation.pictures import Picture, to_png


def request_picture(
    title: str, histories: Mapping[str, Mapping[str, np.ndarray]]
) -> Picture:
    """One real request: heads against events, and what was done at each.

    Args:
        title: who.
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
        upper.set_yticks(
            range(len(lift)),
            [f"head {h}" for h in range(len(lift))],
            fontsize=7,
        )
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
        ages = [human_age(rows["age"][i]) for i in shown]
        bottom.set_xticks(list(shown), ages, rotation=40, fontsize=7)
        bottom.set_xlabel("age of the event", fontsize=8)
    alt = f"{title}: attention of every head to every event of the histories."
    return Picture(title, alt, to_png(figure))


def human_age(seconds: float) -> str:
    """E.g. "3 h"; whole units, rounded."""
    for unit, size in (
        ("y", 31_557_600),
        ("d", 86_400),
        ("h", 3600),
        ("min", 60),
    ):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
