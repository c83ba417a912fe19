"""A live model becomes a version folder a model server can load."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from jd_tf.data.files import write_whole
from jd_tf.serving.export.batching_parameters import (
    BATCHING_FILE,
    batching_parameters,
)
from jd_tf.serving.export.comparison import TOLERANCE
from jd_tf.serving.export.fresh_process import verify_elsewhere
from jd_tf.serving.export.model_card import write_card
from jd_tf.serving.export.recordings import WARMUP_FILE, write_recordings
from jd_tf.serving.export.signatures import ServedRanker
from jd_tf.serving.export.versions import SCHEMA_FILE, aside, publish
from jd_tf.serving.export.warmup import record_calls, sample_requests

_BEFORE_WORD = re.compile("(?<=[a-z0-9])(?=[A-Z])|(?<=.)(?=[A-Z][a-z])")


def export_model(
    model: Any,
    output_dir: str | Path,
    name: str = "",
    requests: Sequence[Mapping[str, Any]] | None = None,
    metrics: Mapping[str, Any] | None = None,
    tolerance: float = TOLERANCE,
    precision: Mapping[str, Any] | None = None,
) -> Path:
    """Writes, verifies and publishes the next version of a model.

    The folder is written beside the versions, reloaded in a fresh process
    that replays recorded calls and compares its answers with the live
    model's, and renamed to the next free number only then: a model server
    that watches never sees half of it. On any failure nothing stays behind.

    Args:
        model: a ranker with `schema`, `encode_user`, `rank` and `explain`, or
            what `round_ranker` made of one.
        output_dir: the folder of all models, e.g. `saved_models`.
        name: of the model, a folder in there; by default that of its class,
            such as `jd_ranker`.
        requests: unpadded requests for the recorded calls, which also warm
            the server up; made up from the schema by default.
        metrics: written into the model card.
        tolerance: the largest relative difference between the live model and
            the reloaded one.
        precision: what was rounded and what that costs, for the model card.

    Returns:
        `<output_dir>/<name>/<version>`.

    Raises:
        ExportError: if the SavedModel is not the live model, breaks a law of
            serving, or a stock server could not run it.
    """
    original = getattr(model, "original", model)
    name = name or _BEFORE_WORD.sub("_", type(original).__name__).lower()
    served = ServedRanker(model)
    base = Path(output_dir) / name
    with aside(base) as folder:
        tf.saved_model.save(
            served.variables(),
            str(folder),
            signatures=served.functions(),
            options=tf.saved_model.SaveOptions(
                experimental_custom_gradients=False
            ),
        )
        # On the processor that the verifying process, too, computes on.
        with tf.device("CPU:0"):
            calls = record_calls(
                served, requests or sample_requests(served.schema)
            )
        write_recordings(folder / WARMUP_FILE, calls, name)
        served.schema.save(folder / SCHEMA_FILE)
        write_whole(folder / BATCHING_FILE, batching_parameters().encode())
        report = verify_elsewhere(folder, tolerance)
        write_card(
            folder, original, name, served.schema, report, metrics, precision
        )
        return publish(folder, base)
