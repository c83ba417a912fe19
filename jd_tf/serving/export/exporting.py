"""Exports a live model as a version folder that a model server can load."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from jd_tf.data.files import write_whole
from jd_tf.serving.export.batching_parameters import (
    BATCHING_FILE,
    batching_parameters,
)
from jd_tf.serving.export.model_card import model_name, write_card
from jd_tf.serving.export.recordings import (
    WARMUP_FILE,
    Recording,
    write_recordings,
)
from jd_tf.serving.export.signatures import ServedRanker
from jd_tf.serving.export.verification.comparison import TOLERANCE
from jd_tf.serving.export.verification.verify import verify_elsewhere
from jd_tf.serving.export.versions import SCHEMA_FILE, aside, publish
from jd_tf.serving.export.warmup import record_calls, sample_requests


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
    served = ServedRanker(model)
    schema = served.schema
    return export_served(
        served,
        getattr(model, "original", model),
        output_dir,
        name,
        lambda functions: record_calls(
            served, functions, requests or sample_requests(schema)
        ),
        tolerance,
        {
            "schema": schema.to_json(),
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
    record: Callable[[Mapping[str, Any]], Sequence[Recording]],
    tolerance: float,
    card: Mapping[str, Any],
    add_files: Callable[[Path], object] = lambda folder: None,
) -> Path:
    """Writes, verifies and publishes the next version of any model.

    The folder is written beside the versions, reloaded in a fresh process
    that replays recorded calls and compares its answers with the live
    model's, and only then renamed to the next free number: a model server
    that polls the folder never sees half a version. On any failure nothing
    is left behind.

    Args:
        served: has `variables()` and `functions()` for
            `tf.saved_model.save`.
        model: the live model, for the model card.
        output_dir: the folder of all models.
        name: of the model, a folder in there; by default its registered one.
        record: traced functions by signature -> calls of the live model.
        tolerance: the largest relative difference that passes.
        card: further entries of the model card.
        add_files: writes further files into the version folder.

    Returns:
        `<output_dir>/<name>/<version>`.

    Raises:
        ExportError: as `export_model`.
    """
    name = name or model_name(model)
    base = Path(output_dir) / name
    with aside(base) as folder:
        functions = served.functions()
        tf.saved_model.save(
            served.variables(),
            str(folder),
            signatures=functions,
            options=tf.saved_model.SaveOptions(
                experimental_custom_gradients=False
            ),
        )
        # On the processor that the verifying process, too, computes on.
        with tf.device("CPU:0"):
            calls = record(functions)
        write_recordings(folder / WARMUP_FILE, calls, name)
        add_files(folder)
        write_whole(folder / BATCHING_FILE, batching_parameters().encode())
        report = verify_elsewhere(folder, tolerance)
        write_card(folder, model, name, report, card)
        return publish(folder, base)
