"""Metrics in NumPy, vectorised over groups; below data and training.

Scores and labels are flat arrays of impressions; `Cells` makes them from
padded requests. What is undefined is nan.
"""

from jd_tf.metrics.bootstrap import Bootstrap, interval
from jd_tf.metrics.business_value import expected_value
from jd_tf.metrics.calibration_metrics import (
    Reliability,
    calibration_error,
    calibration_ratio,
    log_loss,
    normalized_entropy,
    reliability,
)
from jd_tf.metrics.cells import Cells, real_cells
from jd_tf.metrics.diversity import (
    coverage,
    intra_list_distance,
    value_entropy,
)
from jd_tf.metrics.ranking_metrics import (
    GroupAuc,
    auc,
    group_auc,
    group_gain_at,
    group_ndcg,
    group_reciprocal_rank,
    ndcg,
)

__all__ = [
    "Bootstrap",
    "Cells",
    "GroupAuc",
    "Reliability",
    "auc",
    "calibration_error",
    "calibration_ratio",
    "coverage",
    "expected_value",
    "group_auc",
    "group_gain_at",
    "group_ndcg",
    "group_reciprocal_rank",
    "interval",
    "intra_list_distance",
    "log_loss",
    "ndcg",
    "normalized_entropy",
    "real_cells",
    "reliability",
    "value_entropy",
]
