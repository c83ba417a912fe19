"""Sums over fusion steps, and the history row they become."""

from collections.abc import Sequence
from typing import Any

from jd_tf.training.fusion.fusion_records import FusionRecords

_KEY = "fusion"


def add_fusion(window: dict[str, Any], records: FusionRecords) -> None:
    """Adds fusion steps to a window, one by one.

    Args:
        window: sums so far; goes through JSON unchanged.
        records: steps that were taken.
    """
    sums = window.setdefault(
        _KEY,
        {
            "steps": 0,
            "total": 0.0,
            "norm": 0.0,
            "used": 0,
            "skipped": 0,
            "weights": [0.0] * records.weights.shape[1],
        },
    )
    for step in range(len(records)):
        sums["steps"] += 1
        sums["total"] += float(records.total[step])
        sums["norm"] += float(records.norm[step])
        sums["used"] += int(records.used[step])
        sums["skipped"] += int(records.skipped[step])
        for index, weight in enumerate(records.weights[step]):
            sums["weights"][index] += float(weight)


def fusion_row(
    window: dict[str, Any], objective_names: Sequence[str]
) -> dict[str, Any]:
    """What a window's fusion steps add to a history row.

    Args:
        window: as of `add_fusion`; may hold no fusion.
        objective_names: T of them.

    Returns:
        `fusion_loss`, `fusion_gradient_norm` and, for each objective, its
        mean weight `fusion_weight/<objective>`, means over steps;
        `fusion_requests_used` and `fusion_requests_skipped`, those of one
        outcome only, sums. Empty without fusion, None where no step was due.
    """
    sums = window.get(_KEY)
    if sums is None:
        return {}
    steps = sums["steps"]

    def mean(total: float) -> float | None:
        return total / steps if steps else None

    row = {
        "fusion_loss": mean(sums["total"]),
        "fusion_gradient_norm": mean(sums["norm"]),
        "fusion_requests_used": sums["used"],
        "fusion_requests_skipped": sums["skipped"],
    }
    for name, weight in zip(objective_names, sums["weights"], strict=True):
        row[f"fusion_weight/{name}"] = mean(weight)
    return row
