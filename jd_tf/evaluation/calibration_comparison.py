"""Metrics before and after calibration, overall and by segment."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jd_tf.evaluation.metrics_file import nan_to_none
from jd_tf.evaluation.objective_metrics import probability_metrics
from jd_tf.metrics.cells import Cells, real_cells
from jd_tf.schema import Objective

BEFORE, AFTER = "before", "after"


def compare_calibration(
    probabilities: Mapping[str, np.ndarray],
    labels: np.ndarray,
    label_weights: np.ndarray,
    num_candidates: np.ndarray,
    objectives: Sequence[Objective],
    segments: Mapping[str, np.ndarray] | None = None,
) -> dict[str, Any]:
    """Judges the same predictions under several calibrations.

    Args:
        probabilities: name, as `BEFORE` and `AFTER` -> [R, N, T] over all
            impressions.
        labels: [R, N, T] of 0 and 1.
        label_weights: [R, N, T] >= 0; 0 is outside the sample space.
        num_candidates: [R] int.
        objectives: T of them.
        segments: name -> [R], to judge each segment on its own too.

    Returns:
        objective -> `all`: name -> metrics of `probability_metrics` with
        numbers of impressions and positives; `segments`: segmentation ->
        segment -> name -> the same without the bins; and, of an objective
        that presupposes another, `consistency`: name -> see `consistency`.
        Plain numbers, None for what is undefined.
    """
    names = [objective.name for objective in objectives]
    found: dict[str, Any] = {}
    for t, objective in enumerate(objectives):
        cells = Cells.of(labels[..., t], num_candidates, label_weights[..., t])
        mine = {name: p[..., t] for name, p in probabilities.items()}
        entry: dict[str, Any] = {"all": _judged(cells, mine), "segments": {}}
        for segmentation, ids in (segments or {}).items():
            entry["segments"][segmentation] = {
                segment_name(segment): _without_bins(
                    _judged(_part(cells, ids == segment), mine)
                )
                for segment in np.unique(ids)
            }
        if objective.given:
            parent = names.index(objective.given)
            entry["consistency"] = {
                name: consistency(p[..., t], p[..., parent], num_candidates)
                for name, p in probabilities.items()
            }
        found[objective.name] = entry
    return nan_to_none(found)


def consistency(
    probabilities: np.ndarray, given: np.ndarray, num_candidates: np.ndarray
) -> dict[str, float]:
    """Compares an outcome's probabilities with those of what it presupposes.

    Args:
        probabilities: [R, N] of the outcome, say an order.
        given: [R, N] of what it presupposes, say a click.
        num_candidates: [R] int.

    Returns:
        `share_above`: of the candidates whose outcome is more probable than
        what it presupposes, which cannot be; `share_equal`: of those where
        both are the same, as where the bound acts; `mean_ratio`: mean outcome
        over mean of what it presupposes, the predicted conversion. nan
        without candidates.
    """
    real = real_cells(num_candidates, given.shape[1])
    one, other = probabilities[real], given[real]
    if not len(one):
        nothing = float("nan")
        return dict.fromkeys(
            ("share_above", "share_equal", "mean_ratio"), nothing
        )
    mean = other.mean(dtype=np.float64)
    return {
        "share_above": float(np.mean(one > other)),
        "share_equal": float(np.mean(one == other)),
        "mean_ratio": float(one.mean(dtype=np.float64) / mean)
        if mean > 0
        else float("nan"),
    }


def segment_name(segment: Any) -> str:
    """A segment's id as text, as tables and JSON name it."""
    return segment.decode() if isinstance(segment, bytes) else str(segment)


def _judged(cells: Cells, probabilities: Mapping[str, np.ndarray]) -> dict:
    counts = {
        "num_impressions": len(cells.labels),
        "num_positives": int(np.count_nonzero(cells.labels)),
    }
    return {
        name: counts | probability_metrics(cells, chances)
        for name, chances in probabilities.items()
    }


def _without_bins(judged: Mapping[str, dict]) -> dict:
    return {
        name: {key: v for key, v in entry.items() if key != "reliability"}
        for name, entry in judged.items()
    }


def _part(cells: Cells, requests: np.ndarray) -> Cells:
    """The impressions of some requests."""
    kept = requests[cells.request]
    return Cells(
        cells.where & requests[:, None],
        cells.request[kept],
        cells.labels[kept],
        None if cells.weights is None else cells.weights[kept],
    )
