"""Pictures of training: every loss and metric over its steps."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jd_tf.evaluation.pictures import Picture, new_figure, to_png


def learning_pictures(
    history: Sequence[Mapping[str, Any]], objectives: Iterable[str]
) -> list[Picture]:
    """One picture a quantity and objective, training beside validation.

    Args:
        history: dicts of `step` (or `epoch`) and numbers, nested or flat,
            named by phase, quantity and objective in any order, e.g.
            `loss_click`, `validation/auc/click`, `learning_rate`.
        objectives: their names.
    """
    objectives = sorted(objectives, key=len, reverse=True)
    panels: dict[tuple[str, str], dict[str, list[tuple[float, float]]]] = {}
    along = "step"
    for number, entry in enumerate(history):
        flat = _flatten(entry)
        along = next((n for n in ("step", "epoch") if n in flat), "entry")
        x = flat.get(along, number)
        for key, value in flat.items():
            if key in ("step", "epoch") or not np.isfinite(value):
                continue
            phase, quantity, objective = _parse(key, objectives)
            lines = panels.setdefault((quantity, objective), {})
            lines.setdefault(phase, []).append((x, value))
    pictures = []
    for (quantity, objective), lines in sorted(panels.items(), key=_loss_first):
        figure, axes = new_figure()
        for phase, points in sorted(lines.items()):
            color = "#c1121f" if phase == "validation" else "#1d4e89"
            marker = "o" if len(points) < 40 else ""
            axes.plot(
                *zip(*points, strict=True),
                color=color,
                marker=marker,
                markersize=3,
                linewidth=1.2,
                label=phase,
            )
        unit = " (nats)" if quantity == "loss" else ""
        axes.set_xlabel(f"{along}s", fontsize=8)
        axes.set_ylabel(f"{quantity}{unit}", fontsize=8)
        axes.legend(fontsize=7, frameon=False)
        title = f"{quantity} of {objective}" if objective else quantity
        ends = ", ".join(
            f"{p} ends at {v[-1][1]:.4g}" for p, v in lines.items()
        )
        alt = f"{title} over training {along}s: {ends}"
        pictures.append(Picture(title, alt, to_png(figure)))
    return pictures


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
    phase = "training"
    words = [word for word in re.split(r"[/_ ]", key) if word]
    if {"validation", "valid", "val"} & set(words):
        phase = "validation"
    phases = {"validation", "valid", "val", "train", "training"}
    quantity = " ".join(word for word in words if word not in phases)
    return phase, quantity or "loss", found


def _loss_first(panel: tuple[tuple[str, str], Any]) -> tuple[bool, str, str]:
    (quantity, objective), _ = panel
    return quantity != "loss", quantity, objective
