"""Exports the trained model of a run as the next version."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jd_tf.data.dataset import split_files
from jd_tf.evaluation.metrics_file import METRICS_FILE, read_metrics
from jd_tf.schema import Schema
from jd_tf.serving.client.request_file import read_requests
from jd_tf.serving.errors import ExportError
from jd_tf.serving.export.exporting import export_model
from jd_tf.serving.export.rounding.rounding import (
    FLOAT32,
    TOLERANCES,
    round_ranker,
)
from jd_tf.serving.export.rounding.rounding_cost import rounding_cost
from jd_tf.training.folder_training import VALIDATION
from jd_tf.training.workdir import load_trained

# More than the recorded calls use.
_NUM_REQUESTS = 64


def export(
    workdir: str | Path,
    data: str | Path | None = None,
    output: str | Path = "saved_models",
    name: str = "",
    metrics: str | Path | None = None,
    tolerance: float | None = None,
    dtype: str = FLOAT32,
    tables: str = FLOAT32,
    split: str = VALIDATION,
    model: Any = None,
) -> Path:
    """Exports the best weights of a training run.

    Args:
        workdir: of the run.
        data: source of the requests of the recorded calls: a data folder
            (its split) or a file of requests; None generates them.
        output: the folder of all models.
        name: of the model; by default its registered name.
        metrics: metrics.json for the model card; by default the run's, if it
            was evaluated.
        tolerance: the largest relative difference between live and reloaded
            model; by default that of `dtype`.
        dtype: of activations; see `round_ranker`.
        tables: storage of embedding tables; see `round_ranker`.
        split: of the data: requests come from it, and the cost of rounding
            for the model card is measured on it.
        model: exported in place of the run's own.

    Returns:
        The version folder.

    Raises:
        DataError: if run, requests or metrics cannot be read, the SavedModel
            is refused, or the cost of rounding cannot be measured.
    """
    model = load_trained(workdir) if model is None else model
    evaluated = Path(workdir) / METRICS_FILE
    metrics = metrics or (evaluated if evaluated.exists() else None)
    evaluation = read_metrics(metrics) if metrics else None
    rounded = round_ranker(model, dtype, tables)
    precision = None
    if rounded is not model:
        if data is None or not Path(data).is_dir():
            raise ExportError(
                "rounding costs accuracy: name a data folder whose requests "
                "it can be measured on."
            )
        precision = {
            "dtype": dtype,
            "tables": tables,
            **rounding_cost(model, rounded, data, split),
        }
    return export_model(
        rounded,
        output,
        name,
        _requests(data, model.schema, split),
        evaluation,
        TOLERANCES[dtype] if tolerance is None else tolerance,
        precision,
    )


def _requests(
    data: str | Path | None, schema: Schema, split: str
) -> Sequence[Mapping[str, Any]] | None:
    if data is None:
        return None
    path = Path(data)
    if path.is_dir():
        path = next(iter(split_files(path, split)))
    return read_requests(path, schema, _NUM_REQUESTS)
