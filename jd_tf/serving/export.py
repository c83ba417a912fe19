"""A live model becomes a version folder a model server can load."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

import jd_tf
from jd_tf.serving.errors import ExportError
from jd_tf.serving.loading import SCHEMA_FILE
from jd_tf.serving.model_card import write_card
from jd_tf.serving.recordings import WARMUP_FILE, write_recordings
from jd_tf.serving.signatures import ServedRanker
from jd_tf.serving.versions import aside, publish
from jd_tf.serving.warmup import record_calls, sample_requests

_VERIFY_SECONDS = 1800


def export_model(
    model: Any,
    output_dir: str | Path,
    name: str = "jd_ranker",
    requests: Sequence[Mapping[str, Any]] | None = None,
    metrics: Mapping[str, Any] | None = None,
) -> Path:
    """Writes, verifies and publishes the next version of a model.

    The folder is written beside the versions, reloaded in a fresh process
    that replays recorded calls and compares its answers with the live
    model's, and renamed to the next free number only then: a model server
    that watches never sees half of it. On any failure nothing stays behind.

    Args:
        model: a ranker with `schema`, `encode_user`, `rank` and `explain`.
        output_dir: the folder of all models, e.g. `saved_models`.
        name: of the model, a folder in there.
        requests: unpadded requests for the recorded calls, which also warm
            the server up; made up from the schema by default.
        metrics: written into the model card.

    Returns:
        `<output_dir>/<name>/<version>`.

    Raises:
        ExportError: if the SavedModel is not the live model, breaks a law of
            serving, or a stock server could not run it.
    """
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
        write_recordings(
            folder / WARMUP_FILE,
            _record(served, requests or sample_requests(served.schema)),
            name,
        )
        served.schema.save(folder / SCHEMA_FILE)
        report = verify_elsewhere(folder)
        write_card(folder, model, name, served.schema, report, metrics)
        return publish(folder, base)


def verify_elsewhere(folder: Path) -> dict[str, Any]:
    """Runs `jd_tf.serving.verify` on a folder in a process of its own.

    Returns:
        What `verify` found.

    Raises:
        ExportError: with that process's complaint.
    """
    root = str(Path(jd_tf.__file__).resolve().parents[1])
    known = os.environ.get("PYTHONPATH", "")
    finished = subprocess.run(
        [sys.executable, "-m", "jd_tf.serving.verify", str(folder)],
        capture_output=True,
        text=True,
        timeout=_VERIFY_SECONDS,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, (root, known))),
            # A training process holds all memory of the accelerators.
            "CUDA_VISIBLE_DEVICES": "-1",
        },
    )
    if finished.returncode:
        complaints = finished.stderr.strip().splitlines() or ["no message"]
        complaint = complaints[-1].removeprefix("error: ")
        raise ExportError(
            f"nothing exported; verification ended with code "
            f"{finished.returncode}: {complaint}"
        )
    return json.loads(finished.stdout.splitlines()[-1])


def _record(
    served: ServedRanker, requests: Sequence[Mapping[str, Any]]
) -> list[Any]:
    """Records calls in full float32, as the verifying process computes."""
    switch = tf.config.experimental.enable_tensor_float_32_execution
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    switch(False)
    try:
        return record_calls(served, requests)
    finally:
        switch(before)
