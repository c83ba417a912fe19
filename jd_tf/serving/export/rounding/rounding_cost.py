"""Measures the cost of rounding a ranker on data."""

from pathlib import Path
from typing import Any

import numpy as np

from jd_tf.data.batches import numpy_batches
from jd_tf.evaluation.collect import Predictions, collect_predictions
from jd_tf.evaluation.model_scorer import model_scorer

EXACT, EXPORTED = "float32", "exported"
_METRICS = ("auc", "gauc", "ndcg@10", "log_loss", "normalized_entropy")
_BATCH_SIZE = 128


def rounding_cost(
    exact: Any,
    rounded: Any,
    data_dir: str | Path,
    split: str,
    max_requests: int = 0,
) -> dict[str, Any]:
    """Scores a split with a ranker before and after rounding.

    Args:
        exact: the ranker in float32.
        rounded: the ranker that is exported.
        data_dir: a data folder.
        split: its split.
        max_requests: largest number of requests; 0 for all.

    Returns:
        `split`, `num_requests`, `largest_score_change` (relative to the
        largest score), and `metrics`: objective (and "value") -> metric ->
        `float32`, `exported` and `change`, None where undefined.

    Raises:
        DataError: if there is no such data.
    """
    batches = numpy_batches(
        data_dir, split, _BATCH_SIZE, schema=exact.schema, keys=True
    )
    scorers = {EXACT: model_scorer(exact), EXPORTED: model_scorer(rounded)}
    predictions = collect_predictions(
        batches, exact.schema, scorers, max_requests
    )
    found = predictions.evaluate(num_replicates=0, reference=EXPORTED)
    return {
        "split": split,
        "num_requests": len(predictions.num_candidates),
        "largest_score_change": _largest_change(predictions),
        "metrics": {
            objective: {
                name: _compared(before[name], found[EXPORTED][objective][name])
                for name in _METRICS
                if name in before
            }
            for objective, before in found[EXACT].items()
        },
    }


def _compared(before: float | None, after: float | None) -> dict[str, Any]:
    defined = before is not None and after is not None
    change = after - before if defined else None  # type: ignore[operator]
    return {EXACT: before, EXPORTED: after, "change": change}


def _largest_change(predictions: Predictions) -> float:
    before, after = (
        predictions.systems[name]["score"] for name in (EXACT, EXPORTED)
    )
    width = before.shape[1]
    real = np.arange(width) < predictions.num_candidates[:, None]
    scale = np.abs(before[real]).max(initial=0.0)
    change = np.abs(before[real] - after[real]).max(initial=0.0)
    return float(change / scale) if scale else 0.0
