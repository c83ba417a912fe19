"""A finished training run becomes the next version of its model."""

from pathlib import Path
from typing import Any

from jd_tf.data.dataset import split_files
from jd_tf.evaluation.metrics_file import METRICS_FILE, read_metrics
from jd_tf.schema import Schema
from jd_tf.serving.client.request_file import read_requests
from jd_tf.serving.errors import ExportError
from jd_tf.serving.export.export import export_model
from jd_tf.serving.export.rounding import FLOAT32, TOLERANCES, round_ranker
from jd_tf.serving.export.rounding_cost import rounding_cost
from jd_tf.training.folder import VALIDATION
from jd_tf.training.workdir import load_trained

# More than the recorded calls use.
_NUM_REQUESTS = 64


def export_run(
    data: str | Path | None,
    workdir: str | Path,
    output_dir: str | Path,
    name: str = "",
    metrics: str | Path | None = None,
    tolerance: float | None = None,
    **rounding: Any,
) -> Path:
    """Exports the best weights of a run; see `export_ranker`."""
    return export_ranker(
        load_trained(workdir),
        data,
        workdir,
        output_dir,
        name,
        metrics,
        tolerance,
        **rounding,
    )


def export_ranker(
    model: Any,
    data: str | Path | None,
    workdir: str | Path,
    output_dir: str | Path,
    name: str = "",
    metrics: str | Path | None = None,
    tolerance: float | None = None,
    dtype: str = FLOAT32,
    tables: str = FLOAT32,
    split: str = VALIDATION,
) -> Path:
    """Exports a ranker that came out of a run.

    Args:
        model: with the weights to export.
        data: where the requests of the recorded calls come from: a data
            folder (its split) or a file of requests; None has them made up.
        workdir: of the run.
        output_dir: the folder of all models.
        name: of the model; by default that of its class.
        metrics: metrics.json for the model card; by default the run's, if it
            was evaluated.
        tolerance: the largest relative difference between live and reloaded
            model; by default what `dtype` needs.
        dtype: what it computes in; see `round_ranker`.
        tables: what its tables are kept in; see `round_ranker`.
        split: of the data: where requests come from, and on which the cost
            of rounding is measured for the model card.

    Returns:
        The version folder.

    Raises:
        DataError: if run, requests or metrics cannot be read, the SavedModel
            is refused, or the cost of rounding cannot be measured.
    """
    evaluated = Path(workdir) / METRICS_FILE
    metrics = metrics or (evaluated if evaluated.exists() else None)
    found = read_metrics(metrics) if metrics else None
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
        output_dir,
        name,
        _requests(data, model.schema, split),
        found,
        TOLERANCES[dtype] if tolerance is None else tolerance,
        precision,
    )


def _requests(data: str | Path | None, schema: Schema, split: str) -> Any:
    if data is None:
        return None
    path = Path(data)
    if path.is_dir():
        path = next(iter(split_files(path, split)))
    return read_requests(path, schema, _NUM_REQUESTS)
