"""Learning curves: every loss and metric of a history over its steps."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jd_tf.evaluation.pictures import PALETTE, Picture, new_panels, to_png

_LOSS, _VALIDATION = "loss", "validation"
_NOT_DRAWN = ("step", "epoch", "seconds")

# quantity, or quantity and objective -> line -> points
Curves = dict[str, dict[str, list[tuple[float, float]]]]


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
    return [_picture(title, curves) for title, curves in titled if curves]


def _picture(title: str, curves: Curves) -> Picture:
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
