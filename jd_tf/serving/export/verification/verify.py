"""Verifies a version folder, of a ranker or an image tower.

    python -m jd_tf.serving.export.verification.verify FOLDER [TOLERANCE]

loads it as a model server would, without the code of any model, replays the
recorded calls, compares the answers with the recorded ones, and prints a
report as one line of JSON. Exit code 2 and one line on stderr otherwise.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

import jd_tf
from jd_tf.schema import SERVING_ROLES, DataError, Schema
from jd_tf.serving.errors import ExportError
from jd_tf.serving.export.model_card import written_tolerance
from jd_tf.serving.export.recordings import WARMUP_FILE, Recording
from jd_tf.serving.export.verification.comparison import TOLERANCE, check_equal
from jd_tf.serving.export.verification.folder_check import (
    CheckedFolder,
    check_folder,
    coverage_errors,
    gathered,
)
from jd_tf.serving.export.verification.invariants import (
    check_invariants,
    check_rows_alone,
)
from jd_tf.serving.export.versions import SCHEMA_FILE, is_version
from jd_tf.serving.shape_buckets import candidate_buckets
from jd_tf.serving.signature_names import (
    IMAGE_BYTES,
    IMAGE_SIGNATURES,
    RANK_CANDIDATES,
    SERVING_DEFAULT,
    SIGNATURES,
)

# A ranker in half precision gets no more than this for its invariants.
_INVARIANT_TOLERANCE = 0.02
_VERIFY_SECONDS = 1800
MODULE = "jd_tf.serving.export.verification.verify"


def verify_export(
    folder: str | Path, tolerance: float | None = None
) -> list[str]:
    """Checks a version folder, in this process.

    Args:
        folder: `<saved models>/<model>/<version>`.
        tolerance: the largest relative difference between recorded and
            reloaded answers; by default that of the folder's model card.

    Returns:
        Error messages, one line each; none if the version may be served.
    """
    folder = Path(folder)
    errors: list[str] = []
    if not folder.is_dir():
        return [f"{folder}: no such folder."]
    if not is_version(folder.resolve().name):
        errors.append(
            f"{folder}: a model server reads folders named by a number; it "
            "ignores this one."
        )
    if tolerance is None:
        tolerance = TOLERANCE
        with gathered(errors):
            tolerance = written_tolerance(folder, TOLERANCE)
    _examine(folder, errors, tolerance)
    return _lines(errors)


def verify(folder: str | Path, tolerance: float = TOLERANCE) -> dict[str, Any]:
    """Checks files, graph, signatures, recorded answers and invariants.

    Args:
        folder: a version folder, or one that is about to become one.
        tolerance: the largest relative difference that passes.

    Returns:
        `signatures` (inputs and outputs), `ops` (counts), `tolerance`,
        `load_seconds`, `num_recordings` and `max_relative_difference` by
        signature and of the `invariants`.

    Raises:
        ExportError: with all error messages.
    """
    errors: list[str] = []
    report = _examine(Path(folder), errors, tolerance)
    if errors:
        raise ExportError("; ".join(_lines(errors)))
    return report


def verify_elsewhere(folder: Path, tolerance: float) -> dict[str, Any]:
    """Runs `verify` in a process that shares nothing with this one.

    Args:
        folder: as of `verify`.
        tolerance: as of `verify`.

    Raises:
        ExportError: with that process's error message.
    """
    root = str(Path(jd_tf.__file__).resolve().parents[1])
    known = os.environ.get("PYTHONPATH", "")
    finished = subprocess.run(
        [sys.executable, "-m", MODULE, str(folder), str(tolerance)],
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
        lines = finished.stderr.strip().splitlines() or ["no message"]
        raise ExportError(
            f"nothing exported; verification ended with code "
            f"{finished.returncode}: {lines[-1].removeprefix('error: ')}"
        )
    return json.loads(finished.stdout.splitlines()[-1])


def _lines(errors: Iterable[str]) -> list[str]:
    """Returns each error message once, on one line."""
    return list(dict.fromkeys(" ".join(error.split()) for error in errors))


def _examine(
    folder: Path, errors: list[str], tolerance: float
) -> dict[str, Any]:
    """Appends all error messages; the report is empty without a graph."""
    start = time.perf_counter()
    try:
        checked = check_folder(folder, errors)
    except DataError as error:
        errors.append(str(error))
        return {}
    load_seconds = time.perf_counter() - start
    is_tower = set(IMAGE_SIGNATURES) <= set(checked.table)
    signatures = IMAGE_SIGNATURES if is_tower else SIGNATURES
    schema = None
    if is_tower:
        errors += _tower_errors(checked.table, folder)
    else:
        schema = _check_schema(checked, folder, errors)
    errors += coverage_errors(checked, signatures)
    differences = dict.fromkeys((*signatures, "invariants"), 0.0)
    for recording in checked.recordings:
        model, signature = checked.model, recording.signature
        if model is None or signature not in signatures:
            continue
        with gathered(errors):
            found = check_equal(
                recording.outputs,
                model.call(signature, recording.inputs),
                f"{folder}: signature `{signature}` and the live model",
                tolerance,
            )
            differences[signature] = max(differences[signature], found)
        with gathered(errors):
            found = 0.0
            if is_tower:
                found = check_rows_alone(
                    model, signature, recording.inputs, tolerance
                )
            elif schema is not None and signature == SERVING_DEFAULT:
                allowed = min(tolerance, _INVARIANT_TOLERANCE)
                found = check_invariants(
                    model, recording.inputs, schema, allowed
                )
            differences["invariants"] = max(differences["invariants"], found)
    return {
        "signatures": checked.table,
        "ops": checked.ops,
        "tolerance": tolerance,
        "load_seconds": round(load_seconds, 3),
        "num_recordings": len(checked.recordings),
        "max_relative_difference": differences,
    }


def _check_schema(
    checked: CheckedFolder, folder: Path, errors: list[str]
) -> Schema | None:
    """Returns the schema; None if the signatures are not the schema's."""
    with gathered(errors):
        schema = Schema.load(folder / SCHEMA_FILE)
        errors += _width_errors(checked.recordings, schema)
        wrong = list(_schema_errors(checked.table, schema))
        errors += wrong
        return None if wrong else schema
    return None


def _tower_errors(table: Mapping[str, Any], folder: Path) -> Iterable[str]:
    """Yields an error for each signature that takes no image files."""
    for signature in IMAGE_SIGNATURES:
        inputs = table[signature]["inputs"]
        if inputs != {IMAGE_BYTES: {"dtype": "string", "shape": [None]}}:
            yield (
                f"{folder}: signature `{signature}` must take `{IMAGE_BYTES}` "
                f"(B,) string. It takes {inputs}."
            )


def _schema_errors(table: Mapping[str, Any], schema: Schema) -> Iterable[str]:
    """Yields an error for each signature input that is not the schema's."""
    missing = [name for name in SIGNATURES if name not in table]
    if missing:
        yield f"lacks the signatures {', '.join(missing)}."
    if SERVING_DEFAULT in missing:
        return
    inputs = table[SERVING_DEFAULT]["inputs"]
    expected = {
        column.name: {"dtype": column.dtype, "shape": list(column.shape)}
        for column in schema.columns(*SERVING_ROLES)
    }
    for name in sorted({*inputs, *expected}):
        if inputs.get(name) != expected.get(name):
            yield (
                f"signature `{SERVING_DEFAULT}`: input `{name}` is "
                f"{inputs.get(name, 'missing')}, the schema has "
                f"{expected.get(name, 'no such column')}."
            )


def _width_errors(
    recordings: Sequence[Recording], schema: Schema
) -> Iterable[str]:
    """Yields widths that no recorded call warms up."""
    for signature in (SERVING_DEFAULT, RANK_CANDIDATES):
        widths = {
            recording.inputs["item_id"].shape[1]
            for recording in recordings
            if recording.signature == signature
            and recording.inputs.get("item_id", np.empty(0)).ndim == 2
        }
        missing = set(candidate_buckets(schema.max_candidates)) - widths
        if widths and missing:
            yield (
                f"{WARMUP_FILE}: signature `{signature}` is not warmed up for "
                f"{', '.join(map(str, sorted(missing)))} candidates."
            )


def main(arguments: Sequence[str]) -> int:
    """Verifies the folder of a command line; returns the exit code."""
    if len(arguments) not in (1, 2):
        print(f"usage: {MODULE} FOLDER [TOLERANCE]", file=sys.stderr)
        return 2
    try:
        report = verify(arguments[0], *map(float, arguments[1:]))
    except DataError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    print(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
