"""Measures the cost of rounding a ranker on data."""

from pathlib import Path
from typing import Any

import numpy as np

from jd_tf.data.batches import numpy_batches
from jd_tf.evaluation.collect import collect_predictions
from jd_tf.evaluation.model_scorer import model_scorer
from jd_tf.serving.export.model_card import SHOWN_METRICS

EXACT, EXPORTED = "float32", "exported"
_BATCH_SIZE = 128


def rounding_cost(
    exact: Any, rounded: Any, data_dir: str | Path, split: str
) -> dict[str, Any]:
    """Scores a split with a ranker before and after rounding.

    The change of scores is relative to the largest; metrics are None where
    they are undefined.
    """
    batches = numpy_batches(
        data_dir, split, _BATCH_SIZE, schema=exact.schema, keys=True
    )
    scorers = {EXACT: model_scorer(exact), EXPORTED: model_scorer(rounded)}
    predictions = collect_predictions(batches, exact.schema, scorers)
    found = predictions.evaluate(num_replicates=0, reference=EXPORTED)
    before, after = (predictions.systems[name]["score"] for name in scorers)
    width = before.shape[1]
    real = np.arange(width) < predictions.num_candidates[:, None]
    scale = np.abs(before[real]).max(initial=0.0)
    change = np.abs(before[real] - after[real]).max(initial=0.0)
    return {
        "split": split,
        "num_requests": len(predictions.num_candidates),
        "largest_score_change": float(change / scale) if scale else 0.0,
        "metrics": {
            objective: {
                name: _compared(before[name], found[EXPORTED][objective][name])
                for name in SHOWN_METRICS
                if name in before
            }
            for objective, before in found[EXACT].items()
        },
    }


def _compared(before: float | None, after: float | None) -> dict[str, Any]:
    defined = before is not None and after is not None
    change = after - before if defined else None  # type: ignore[operator]
    return {EXACT: before, EXPORTED: after, "change": change}
