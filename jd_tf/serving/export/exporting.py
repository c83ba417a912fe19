"""Exports a live model as a version folder that a model server can load."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from jd_tf.data.dataset import split_files
from jd_tf.data.files import write_whole
from jd_tf.evaluation.metrics_file import METRICS_FILE, read_metrics
from jd_tf.schema import Schema
from jd_tf.serving.client.request_file import read_requests
from jd_tf.serving.errors import ExportError
from jd_tf.serving.export import recordings, rounding
from jd_tf.serving.export.batching_parameters import (
    BATCHING_FILE,
    batching_parameters,
)
from jd_tf.serving.export.model_card import write_card
from jd_tf.serving.export.signatures import ServedRanker
from jd_tf.serving.export.state_age import state_age_errors
from jd_tf.serving.export.verification.comparison import TOLERANCE
from jd_tf.serving.export.verification.verify import verify_elsewhere
from jd_tf.serving.export.versions import SCHEMA_FILE, aside, publish
from jd_tf.serving.export.warmup import record_calls, sample_requests
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
    dtype: str = rounding.FLOAT32,
    tables: str = rounding.FLOAT32,
    split: str = VALIDATION,
    model: Any = None,
    states: str = rounding.FLOAT32,
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
        states: type in which user states travel; see `round_ranker`. REST
            carries float32 alone.

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
    rounded = rounding.round_ranker(model, dtype, tables, states)
    precision = None
    if rounded is not model:
        if data is None or not Path(data).is_dir():
            raise ExportError(
                "rounding costs accuracy: name a data folder whose requests "
                "it can be measured on."
            )
        cost = rounding.rounding_cost(model, rounded, data, split)
        precision = {"dtype": dtype, "tables": tables, "states": states, **cost}
    requests = first_requests(data, model.schema, split)
    return export_model(
        rounded,
        output,
        name,
        requests,
        evaluation,
        rounding.tolerance_of(dtype, states)
        if tolerance is None
        else tolerance,
        precision,
    )


def first_requests(
    data: str | Path | None, schema: Schema, split: str = VALIDATION
) -> list[dict[str, Any]] | None:
    """Reads requests for recorded calls.

    Args:
        data: a data folder or a file of requests; None: there are none.
        schema: of the requests.
        split: of a data folder.

    Raises:
        DataError: if they cannot be read.
    """
    if data is None:
        return None
    path = Path(data)
    path = next(iter(split_files(path, split))) if path.is_dir() else path
    return read_requests(path, schema, _NUM_REQUESTS)


def export_model(
    model: Any,
    output_dir: str | Path,
    name: str = "",
    requests: Sequence[Mapping[str, Any]] | None = None,
    metrics: Mapping[str, Any] | None = None,
    tolerance: float = TOLERANCE,
    precision: Mapping[str, Any] | None = None,
) -> Path:
    """Writes, verifies and publishes the next version of a ranker.

    Args:
        model: a `RankingModel`, or the result of `round_ranker`.
        output_dir: the folder of all models, e.g. `saved_models`.
        name: of the model, a folder in there; by default its registered
            name, such as `jd_ranker`.
        requests: unpadded requests for the recorded calls, which also warm
            the server up; generated from the schema by default.
        metrics: written into the model card.
        tolerance: the largest relative difference between the live model and
            the reloaded one.
        precision: which parts were rounded at which cost, for the model card.

    Returns:
        `<output_dir>/<name>/<version>`.

    Raises:
        ExportError: if the SavedModel is not the live model, breaks an
            invariant of serving, or a stock server could not run it.
    """
    served, schema = ServedRanker(model), model.schema
    original = getattr(model, "original", model)
    user_state: dict[str, Any] = {"reusable": model.reusable}

    def record(functions: Mapping[str, Any]) -> list[recordings.Recording]:
        given = requests or sample_requests(schema)
        calls = record_calls(served, functions, given)
        if not model.reusable:
            user_state["score_error_by_age"] = state_age_errors(served, calls)
        return calls

    return export_served(
        served,
        original,
        output_dir,
        name or original.registered_name,
        record,
        tolerance,
        {
            "schema": schema.to_json(),
            "user_state": user_state,
            "metrics": metrics,
            "precision": precision,
        },
        lambda folder: schema.save(folder / SCHEMA_FILE),
    )


def export_served(
    served: Any,
    model: Any,
    output_dir: str | Path,
    name: str,
    record: Callable[[Mapping[str, Any]], Sequence[recordings.Recording]],
    tolerance: float,
    card: Mapping[str, Any],
    add_files: Callable[[Path], object] = lambda folder: None,
) -> Path:
    """Writes, verifies and publishes the next version of any model.

    The folder is written beside the versions, verified in a fresh process
    and only then renamed: a server that polls never sees half a version.
    `served` has `variables()` and `functions()` for `tf.saved_model.save`;
    `record` makes calls of the live model from the traced functions.
    """
    if Path(name).name != name:
        raise ExportError(f"a model's name is no path. Got: {name!r}.")
    base = Path(output_dir) / name
    with aside(base) as folder:
        functions = served.functions()
        options = tf.saved_model.SaveOptions(
            experimental_custom_gradients=False
        )
        tf.saved_model.save(served.variables(), str(folder), functions, options)
        # On the processor that the verifying process, too, computes on.
        with tf.device("CPU:0"):
            calls = record(functions)
        recordings.write_recordings(
            folder / recordings.WARMUP_FILE, calls, name
        )
        add_files(folder)
        write_whole(folder / BATCHING_FILE, batching_parameters().encode())
        report = verify_elsewhere(folder, tolerance)
        write_card(folder, model, name, report, card)
        return publish(folder, base)
