"""Metrics of the post-training stage: calibration and fusion."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jd_tf.evaluation.collect import Predictions
from jd_tf.evaluation.metrics_file import nan_to_none
from jd_tf.evaluation.objective_metrics import (
    paired_difference,
    probability_metrics,
    request_ndcg,
    value_metrics,
)
from jd_tf.metrics.business_value import (
    expectations,
    expected_value,
    scenario_names,
)
from jd_tf.metrics.cells import Cells, real_cells
from jd_tf.metrics.ranking_metrics import ratio
from jd_tf.schema import Objective

# Outputs of a scorer that are no predictions: probabilities before the curves
# [B, N, T], and weights [B, 1, T].
UNCALIBRATED, WEIGHTS = "uncalibrated", "fusion_weights"
CALIBRATION, FUSION = "calibration", "fusion"
BEFORE, AFTER = "before", "after"
FUSED, EXPECTED = "fused", "expected_value"


@dataclasses.dataclass(frozen=True)
class PostTraining:
    """Predictions of a ranker before and after its post-training stage."""

    predictions: Predictions
    system: str
    # [R, N, T] of outcomes, None without calibration
    uncalibrated: np.ndarray | None
    weights: np.ndarray | None  # [R, T], None without fusion

    @classmethod
    def of(cls, predictions: Predictions, system: str) -> "PostTraining":
        """Takes outputs that are no predictions out of a system."""
        outputs = dict(predictions.systems[system])
        uncalibrated = outputs.pop(UNCALIBRATED, None)
        weights = outputs.pop(WEIGHTS, None)
        systems = {**predictions.systems, system: outputs}
        return cls(
            dataclasses.replace(predictions, systems=systems),
            system,
            uncalibrated,
            None if weights is None else weights[:, 0],
        )

    def add_to(self, metrics_of_split: dict[str, dict[str, Any]]) -> None:
        """Adds `calibration` of objectives and `fusion` of the value."""
        mine, found = metrics_of_split[self.system], self.predictions
        if self.uncalibrated is not None:
            after = found.systems[self.system]["probabilities"]
            compared = compare_calibration(
                {BEFORE: self.uncalibrated, AFTER: after},
                found.labels,
                found.label_weights,
                found.num_candidates,
                found.schema.objectives[: after.shape[-1]],
                found.columns_by_request(),
            )
            for name, entry in compared.items():
                mine[name][CALIBRATION] = entry
        if self.weights is not None:
            mine["value"][FUSION] = self._fusion_metrics(self.weights)

    def _fusion_metrics(self, weights: np.ndarray) -> dict[str, Any]:
        """The fused order beside the plain rule, and its weights."""
        found = self.predictions
        outputs = found.systems[self.system]
        counts = np.where(found.label_weights > 0, found.labels, 0.0)
        values = found.values
        if values is None:
            values = np.array([found.schema.objective_values])
        gains = (counts * values[:, None]).sum(axis=-1)
        cells = Cells.of(gains, found.num_candidates)
        plain = expected_value(
            expectations(outputs), found.schema.objectives, found.values
        )
        orders = {FUSED: outputs["score"], EXPECTED: plain}
        ndcg = [request_ndcg(cells, order) for order in orders.values()]
        shares = weights / weights.sum(axis=1, keepdims=True)

        def by_name(numbers: np.ndarray) -> dict[str, float]:
            names = found.schema.objective_names
            return dict(zip(names, numbers.tolist(), strict=True))

        judged = {
            **{n: value_metrics(cells, o, None)[0] for n, o in orders.items()},
            **paired_difference(*ndcg),
            "weights": by_name(weights.mean(axis=0)),
            "weight_spread": by_name(weights.std(axis=0)),
            "shares": by_name(shares.mean(axis=0)),
            "segments": {
                column: {
                    name: by_name(shares[rows].mean(axis=0))
                    for name, rows in members(ids).items()
                }
                for column, ids in found.columns_by_request().items()
            },
        }
        return nan_to_none(judged)


def compare_calibration(
    probabilities: Mapping[str, np.ndarray],
    labels: np.ndarray,
    label_weights: np.ndarray,
    num_candidates: np.ndarray,
    objectives: Sequence[Objective],
    segments: Mapping[str, np.ndarray] | None = None,
) -> dict[str, Any]:
    """Judges the same [R, N, T] predictions under several calibrations.

    `segments` are name -> [R]. Returns objective -> `all`: name -> counts and
    `probability_metrics`; `segments`: segmentation -> segment -> the same
    without bins; and, of an objective with a `given`, `consistency` by name.
    """
    names = [objective.name for objective in objectives]

    def judged(t: int, rows: Any = slice(None)) -> dict[str, dict[str, Any]]:
        cells = Cells.of(
            labels[rows, :, t], num_candidates[rows], label_weights[rows, :, t]
        )
        counts = {
            "num_impressions": len(cells.labels),
            "num_positives": int(np.count_nonzero(cells.labels)),
        }
        return {
            name: counts | probability_metrics(cells, chances[rows, :, t])
            for name, chances in probabilities.items()
        }

    found: dict[str, Any] = {}
    for t, objective in enumerate(objectives):
        by_segment: dict[str, Any] = {}
        for segmentation, ids in (segments or {}).items():
            parts = {n: judged(t, rows) for n, rows in members(ids).items()}
            for entries in parts.values():
                for entry in entries.values():
                    del entry["reliability"]
            by_segment[segmentation] = parts
        found[objective.name] = {"all": judged(t), "segments": by_segment}
        if objective.given:
            parent = names.index(objective.given)
            found[objective.name]["consistency"] = {
                name: consistency(p[..., t], p[..., parent], num_candidates)
                for name, p in probabilities.items()
            }
    return nan_to_none(found)


def members(ids: np.ndarray) -> dict[str, np.ndarray]:
    """Name of each segment -> [R] bool, its requests."""
    segments = np.unique(ids)
    names = scenario_names(segments).tolist()
    return {n: ids == one for n, one in zip(names, segments, strict=True)}


def consistency(
    probabilities: np.ndarray, given: np.ndarray, num_candidates: np.ndarray
) -> dict[str, float]:
    """Compares [R, N] probabilities of an outcome with those of its `given`."""
    real = real_cells(num_candidates, given.shape[1])
    one, other = probabilities[real], given[real]
    return {
        "share_above": ratio(np.sum(one > other), len(one)),
        "share_equal": ratio(np.sum(one == other), len(one)),
        "mean_ratio": ratio(
            one.sum(dtype=np.float64), other.sum(dtype=np.float64)
        ),
    }
