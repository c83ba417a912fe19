"""Metrics of the post-training stage: calibration and fusion."""

import dataclasses
from typing import Any

import numpy as np

from jd_tf.evaluation.calibration_comparison import (
    AFTER,
    BEFORE,
    compare_calibration,
    segment_name,
)
from jd_tf.evaluation.collect import Predictions
from jd_tf.evaluation.objective_metrics import (
    NDCG_PLACES,
    value_metrics,
)
from jd_tf.metrics import ranking_metrics as metrics
from jd_tf.metrics.business_value import expected_value
from jd_tf.metrics.cells import Cells

# Outputs of a scorer that are no predictions: probabilities before the curves
# [B, N, T], and weights [B, 1, T].
UNCALIBRATED, WEIGHTS = "uncalibrated", "fusion_weights"
CALIBRATION, FUSION = "calibration", "fusion"
FUSED, EXPECTED = "fused", "expected_value"


@dataclasses.dataclass(frozen=True)
class PostTraining:
    """Predictions of a ranker before and after its post-training stage.

    Attributes:
        predictions: without those outputs.
        system: name of the ranker in there.
        uncalibrated: [R, N, T] probabilities before the curves, None where
            it has none.
        weights: [R, T] fusion weights, None where it has none.
    """

    predictions: Predictions
    system: str
    uncalibrated: np.ndarray | None
    weights: np.ndarray | None

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
        """Puts calibration and fusion among the ranker's metrics.

        Args:
            metrics_of_split: as of `Predictions.evaluate`. Objectives get
                `calibration`, see `compare_calibration`; `value` gets
                `fusion`, see `_fusion_metrics`; where there is such a thing.
        """
        mine = metrics_of_split[self.system]
        for name, entry in self.calibration_metrics().items():
            mine[name][CALIBRATION] = entry
        if self.weights is not None:
            mine["value"][FUSION] = self._fusion_metrics(self.weights)

    def calibration_metrics(self) -> dict[str, Any]:
        """Every objective's probabilities before and after the curves."""
        if self.uncalibrated is None:
            return {}
        found = self.predictions
        after = found.systems[self.system]["probabilities"]
        return compare_calibration(
            {BEFORE: self.uncalibrated, AFTER: after},
            found.labels,
            found.label_weights,
            found.num_candidates,
            found.schema.objectives,
            found.columns_by_request(),
        )

    def _fusion_metrics(self, weights: np.ndarray) -> dict[str, Any]:
        """The fused order beside the plain rule, and its weights.

        Returns:
            `fused` and `expected_value` (business values times the same
            probabilities, nothing learned), each with value-NDCG and captured
            value; `difference`, fused minus expected value in value-NDCG,
            paired, and its `standard_error`; `weights` and `weight_spread`,
            mean and standard deviation over requests, and `shares`, mean
            shares, an objective each; `segments`: column -> segment ->
            shares.
        """
        found = self.predictions
        outputs = found.systems[self.system]
        counts = np.where(found.label_weights > 0, found.labels, 0.0)
        values = found.values
        if values is None:
            values = np.array([found.schema.objective_values])
        gains = (counts * values[:, None]).sum(axis=-1)
        cells = Cells.of(gains, found.num_candidates)
        orders = {
            FUSED: outputs["score"],
            EXPECTED: expected_value(
                outputs["probabilities"],
                found.schema.objectives,
                found.values,
            ),
        }
        ndcg = {name: _ndcg(cells, order) for name, order in orders.items()}
        apart = ndcg[FUSED] - ndcg[EXPECTED]
        apart = apart[~np.isnan(apart)]
        shares = weights / weights.sum(axis=1, keepdims=True)
        names = found.schema.objective_names

        def by_name(numbers: np.ndarray) -> dict[str, float]:
            return dict(zip(names, numbers.tolist(), strict=True))

        return {
            **{
                name: value_metrics(cells, order, None)[0]
                for name, order in orders.items()
            },
            "difference": float(apart.mean()) if len(apart) else None,
            "standard_error": float(apart.std(ddof=1) / np.sqrt(len(apart)))
            if len(apart) > 1
            else None,
            "num_requests": len(apart),
            "weights": by_name(weights.mean(axis=0)),
            "weight_spread": by_name(weights.std(axis=0)),
            "shares": by_name(shares.mean(axis=0)),
            "segments": {
                column: {
                    segment_name(one): by_name(shares[ids == one].mean(axis=0))
                    for one in np.unique(ids)
                }
                for column, ids in found.columns_by_request().items()
            },
        }


def _ndcg(cells: Cells, order: np.ndarray) -> np.ndarray:
    """[R] value-NDCG, nan for requests without value."""
    return metrics.group_ndcg(
        cells.pick(order),
        cells.labels,
        cells.request,
        cells.num_requests,
        NDCG_PLACES,
    )
