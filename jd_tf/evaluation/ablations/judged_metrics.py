"""One trained run on one split, with the resamples that pair it with others.

Axis letters: R requests, N candidates (padded), T objectives.
"""

import hashlib
from typing import Any

import numpy as np

from jd_tf.evaluation.collect import Predictions
from jd_tf.evaluation.metrics_file import nan_to_none
from jd_tf.evaluation.objective_metrics import NDCG, order_metrics
from jd_tf.metrics.bootstrap import Bootstrap
from jd_tf.metrics.cells import Cells

ALL, COLD = "all", "cold"
METRICS = ("auc", "gauc", "gauc_user", NDCG)
_COUNTS = ("num_impressions", "num_positives")


def judge_run(
    predictions: Predictions,
    system: str,
    num_replicates: int = 200,
) -> dict[str, Any]:
    """Metrics of one system on every candidate and on every kind of them.

    Users (requests where they are unknown) are resampled by a generator that
    depends on their number alone, so replicate i of two runs on the same
    split has drawn the same users, and their replicates can be subtracted
    pair by pair.

    Args:
        predictions: of a split; every mark is judged beside "all".
        system: which of its systems.
        num_replicates: resamples.

    Returns:
        `metrics`: kind -> objective -> metric or count -> number, None where
        undefined; `replicates`: kind -> objective -> metric -> list;
        `fingerprint`: of requests, labels and kinds, equal for runs that can
        be compared.
    """
    outputs = predictions.systems[system]
    schema, labels = predictions.schema, predictions.labels
    users = None
    if predictions.user_ids is not None:
        ids = np.unique(predictions.user_ids, return_inverse=True)[1]
        users = ids.reshape(-1)
    bootstrap = Bootstrap(len(labels), users, num_replicates)
    kinds = {ALL: np.ones(labels.shape[:2], bool), **predictions.marks}
    found: dict[str, Any] = {kind: {} for kind in kinds}
    drawn: dict[str, Any] = {kind: {} for kind in kinds}
    for kind, inside in kinds.items():
        for t, objective in enumerate(schema.objectives):
            weights = np.where(inside, predictions.label_weights[..., t], 0.0)
            cells = Cells.of(
                labels[..., t], predictions.num_candidates, weights
            )
            metrics, replicates = order_metrics(
                cells, outputs["probabilities"][..., t], users, bootstrap
            )
            found[kind][objective.name] = {
                name: metrics[name] for name in (*METRICS, *_COUNTS)
            }
            drawn[kind][objective.name] = replicates
    return {
        "metrics": nan_to_none(found),
        "replicates": nan_to_none(drawn),
        "fingerprint": _fingerprint(predictions, users, bootstrap.counts.shape),
    }


def _fingerprint(
    predictions: Predictions,
    users: np.ndarray | None,
    resamples: tuple[int, ...],
) -> str:
    """A short text that differs where requests, labels or kinds do."""
    digest = hashlib.sha256(str(resamples).encode())
    arrays = [
        predictions.num_candidates,
        predictions.labels,
        predictions.label_weights,
        *(predictions.marks[name] for name in sorted(predictions.marks)),
    ]
    if users is not None:
        arrays.append(users)
    for array in arrays:
        digest.update(f"{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
