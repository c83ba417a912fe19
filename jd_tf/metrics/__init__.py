"""Metrics in NumPy, vectorised over groups; below data and training.

Scores and labels are flat arrays of impressions; `Cells` makes them from
padded requests. What is undefined is nan.
"""

from jd_tf.metrics.amount_metrics import (
    amount_ratio,
    group_concordance,
    mean_absolute_error,
    relative_deviance,
)
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
from jd_tf.metrics.diversity import intra_list_distance, value_entropy
from jd_tf.metrics.off_policy import (
    PolicyValue,
    doubly_robust_value,
    inverse_propensity_value,
    plackett_luce_exposure,
    rank_exposure,
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
from jd_tf.metrics.recall_metrics import (
    coverage,
    found_at,
    hit_rate_at,
    list_ndcg_at,
    novelty,
    recall_at,
)

__all__ = [
    "Bootstrap",
    "Cells",
    "GroupAuc",
    "PolicyValue",
    "Reliability",
    "amount_ratio",
    "auc",
    "calibration_error",
    "calibration_ratio",
    "coverage",
    "doubly_robust_value",
    "expected_value",
    "found_at",
    "group_auc",
    "group_concordance",
    "group_gain_at",
    "group_ndcg",
    "group_reciprocal_rank",
    "hit_rate_at",
    "interval",
    "intra_list_distance",
    "inverse_propensity_value",
    "list_ndcg_at",
    "log_loss",
    "mean_absolute_error",
    "ndcg",
    "normalized_entropy",
    "novelty",
    "plackett_luce_exposure",
    "rank_exposure",
    "real_cells",
    "recall_at",
    "relative_deviance",
    "reliability",
    "value_entropy",
]
