"""metrics.json: split -> system -> objective -> metric."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jd_tf.data.files import read_json, write_whole
from jd_tf.schema import DataError

METRICS_FILE = "metrics.json"
# Beside the splits, where the schema names scenarios: split -> scenario -> ...
SCENARIOS = "scenarios"
# Beside them, sentences on what the systems learned from.
NOTES = "notes"
# The system a report is about, unless its model is registered as another.
RANKER = "jd_ranker"


def model_name(model: Any) -> str:
    """The name a model has in metrics.json: its registered one."""
    return getattr(model, "registered_name", RANKER)


def write_metrics(path: str | Path, metrics: Mapping[str, Any]) -> None:
    """Writes split -> what `evaluate_predictions` returned, whole or not."""
    text = json.dumps(
        nan_to_none(metrics), indent=1, ensure_ascii=False, allow_nan=False
    )
    write_whole(path, text.encode("utf-8") + b"\n")


def read_metrics(path: str | Path) -> dict[str, Any]:
    """Reads what `write_metrics` wrote; a DataError names a bad file."""
    try:
        metrics = read_json(Path(path))
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: no such file; `experiments.evaluate` writes it."
        ) from error
    if not isinstance(metrics, dict):
        raise DataError(f"{path}: not metrics: {type(metrics).__name__}.")
    return metrics


def nan_to_none(value: Any) -> Any:
    """Plain Python numbers for JSON, None for what is undefined."""
    if isinstance(value, Mapping):
        return {name: nan_to_none(part) for name, part in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [nan_to_none(part) for part in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
