"""Pictures of training: every loss and metric over its steps."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jd_tf.evaluation.pictures import Picture, new_figure, to_png

# Quantities that get a picture an objective, training beside validation; of
# others, all objectives share one.
_OWN_PICTURE = ("loss", "auc")
_NOT_DRAWN = ("step", "epoch", "seconds")
_PHASES = ("train", "training", "val", "valid", "validation")
_COLORS = ("#1d4e89", "#c1121f", "#2a7f62", "#d39b00", "#7b2d8b", "#0a9396")

Points = list[tuple[float, float]]


def learning_pictures(
    history: Sequence[Mapping[str, Any]], objectives: Iterable[str]
) -> list[Picture]:
    """Losses and AUCs an objective, then what else the history holds.

    Args:
        history: dicts of `step` (or `epoch`) and numbers, nested or flat,
            named by phase, quantity and objective in any order, e.g.
            `loss/click`, `validation/auc/click`, `learning_rate`. What is
            None or not finite leaves a gap.
        objectives: their names.
    """
    # Longest first, or "view" would be found within "long_view".
    objectives = sorted(objectives, key=len, reverse=True)
    panels: dict[tuple[str, str], dict[str, Points]] = {}
    along = "entry"
    for number, entry in enumerate(history):
        flat = _flatten(entry)
        along = next((n for n in ("step", "epoch") if n in flat), along)
        for key, value in flat.items():
            if key in _NOT_DRAWN or not np.isfinite(value):
                continue
            phase, quantity, objective = _parse(key, objectives)
            line = phase
            if quantity not in _OWN_PICTURE and objective:
                line, objective = objective, ""
            lines = panels.setdefault((quantity, objective), {})
            lines.setdefault(line, []).append((flat.get(along, number), value))
    ordered = sorted(panels.items(), key=lambda panel: _rank(*panel[0]))
    return [_picture(*key, lines, along) for key, lines in ordered]


def _picture(
    quantity: str, objective: str, lines: Mapping[str, Points], along: str
) -> Picture:
    figure, axes = new_figure()
    for place, (name, points) in enumerate(sorted(lines.items())):
        axes.plot(
            *zip(*points, strict=True),
            color=_COLORS[place % len(_COLORS)],
            marker="o" if len(points) < 40 else "",
            markersize=3,
            linewidth=1.2,
            label=name,
        )
    unit = " (nats)" if quantity == "loss" and objective else ""
    axes.set_xlabel(f"{along}s", fontsize=8)
    axes.set_ylabel(f"{quantity}{unit}", fontsize=8)
    axes.legend(fontsize=7, frameon=False)
    title = quantity
    if quantity in _OWN_PICTURE:
        title = f"{quantity} of {objective or 'all objectives together'}"
    ends = ", ".join(f"{n} ends at {v[-1][1]:.4g}" for n, v in lines.items())
    return Picture(title, f"{title} over {along}s: {ends}", to_png(figure))


def _rank(quantity: str, objective: str) -> tuple[int, str, str]:
    """Losses first, then AUC, then the rest by name."""
    known = quantity in _OWN_PICTURE
    place = _OWN_PICTURE.index(quantity) if known else len(_OWN_PICTURE)
    return place, quantity, objective


def _flatten(entry: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Numbers of nested dicts, keys joined by `/`."""
    found = {}
    for key, value in entry.items():
        if isinstance(value, Mapping):
            found |= _flatten(value, f"{prefix}{key}/")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            found[f"{prefix}{key}"] = float(value)
    return found


def _parse(key: str, objectives: Sequence[str]) -> tuple[str, str, str]:
    """Phase, quantity and objective of a key."""
    found = ""
    for objective in objectives:
        rest, hits = re.subn(rf"(^|[/_ ]){objective}(?=$|[/_ ])", "", key)
        if hits:
            key, found = rest, objective
            break
    words = [word for word in re.split(r"[/_ ]", key) if word]
    phases = [word for word in words if word in _PHASES]
    phase = "validation" if phases and phases[0][0] == "v" else "training"
    quantity = " ".join(word for word in words if word not in _PHASES)
    return phase, quantity or "loss", found
