"""A finished training run becomes the next version of its model."""

from pathlib import Path
from typing import Any

from jd_tf.data.dataset import split_files
from jd_tf.evaluation.metrics_file import read_metrics
from jd_tf.evaluation.run import METRICS_FILE
from jd_tf.schema import Schema
from jd_tf.serving.comparison import TOLERANCE
from jd_tf.serving.export import export_model
from jd_tf.serving.request_file import read_requests
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
    tolerance: float = TOLERANCE,
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
    )


def export_ranker(
    model: Any,
    data: str | Path | None,
    workdir: str | Path,
    output_dir: str | Path,
    name: str = "",
    metrics: str | Path | None = None,
    tolerance: float = TOLERANCE,
) -> Path:
    """Exports a ranker that came out of a run.

    Args:
        model: with the weights to export.
        data: where the requests of the recorded calls come from: a data
            folder (its validation split) or a file of requests; None has
            them made up.
        workdir: of the run.
        output_dir: the folder of all models.
        name: of the model; by default that of its class.
        metrics: metrics.json for the model card; by default the run's, if it
            was evaluated.
        tolerance: the largest relative difference between live and reloaded
            model.

    Returns:
        The version folder.

    Raises:
        DataError: if run, requests or metrics cannot be read, or the
            SavedModel is refused.
    """
    evaluated = Path(workdir) / METRICS_FILE
    metrics = metrics or (evaluated if evaluated.exists() else None)
    found = read_metrics(metrics) if metrics else None
    return export_model(
        model,
        output_dir,
        name,
        _requests(data, model.schema),
        found,
        tolerance,
    )


def _requests(data: str | Path | None, schema: Schema) -> Any:
    if data is None:
        return None
    path = Path(data)
    if path.is_dir():
        path = next(iter(split_files(path, VALIDATION)))
    return read_requests(path, schema, _NUM_REQUESTS)
