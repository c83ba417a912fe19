"""Verifies a version folder, of a ranker, two towers or an image tower.

    python -m jd_tf.serving.export.verification.verify FOLDER [TOLERANCE]

loads it as a model server would, without the code of any model, replays the
recorded calls, compares the answers with the recorded ones, and prints a
report as one line of JSON. Exit code 2 and one line on stderr otherwise.
"""

import contextlib
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import jd_tf
from jd_tf.schema import DataError, Schema
from jd_tf.serving.batching import candidate_buckets
from jd_tf.serving.errors import ExportError
from jd_tf.serving.export import recordings
from jd_tf.serving.export.batching_parameters import (
    BATCHING_FILE,
    read_batching,
)
from jd_tf.serving.export.loading import LoadedModel
from jd_tf.serving.export.model_card import changed_files, written_tolerance
from jd_tf.serving.export.verification import folder_check, invariants
from jd_tf.serving.export.verification.comparison import TOLERANCE, check_equal
from jd_tf.serving.export.verification.growing import grown_states
from jd_tf.serving.export.versions import SCHEMA_FILE, is_version
from jd_tf.serving.protos.messages import signature_table
from jd_tf.serving.signature_names import (
    APPEND_EVENTS,
    CLASSIFY,
    ENCODE_ITEMS,
    ENCODE_USER,
    EXCLUDED,
    IMAGE_SIGNATURES,
    RETRIEVAL_SIGNATURES,
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
        with _gathered(errors):
            tolerance = written_tolerance(folder, TOLERANCE)
    _examine(folder, errors, tolerance)
    return _lines(errors)


def verify(folder: str | Path, tolerance: float = TOLERANCE) -> dict[str, Any]:
    """Checks a folder; returns the model card's signatures, ops and report."""
    errors: list[str] = []
    report = _examine(Path(folder), errors, tolerance)
    if errors:
        raise ExportError("; ".join(_lines(errors)))
    return report


def verify_elsewhere(folder: Path, tolerance: float) -> dict[str, Any]:
    """Runs `verify` in a process that shares nothing with this one."""
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
    return list(dict.fromkeys(" ".join(error.split()) for error in errors))


@contextlib.contextmanager
def _gathered(errors: list[str]) -> Iterator[None]:
    """Appends the message of a `DataError` instead of raising it."""
    try:
        yield
    except DataError as error:
        errors.append(str(error))


def _examine(
    folder: Path, errors: list[str], tolerance: float
) -> dict[str, Any]:
    """Appends all error messages; the report is empty without a graph."""
    graph = None
    with _gathered(errors):
        errors += changed_files(folder)
        graph = folder_check.read_graph(folder)
    if graph is None:
        return {}
    table = signature_table(graph)
    refused = sorted(folder_check.refused_ops(graph).items())
    errors += (
        f"a stock model server cannot run this graph: {op} {reason}"
        for op, reason in refused
    )
    errors += [
        *folder_check.batching_errors(table),
        *folder_check.missing_shards(folder),
    ]
    batch_sizes: tuple[int, ...] = ()
    widths: tuple[int, ...] = ()
    calls: list[recordings.Recording] = []
    with _gathered(errors):
        batch_sizes = read_batching(folder / BATCHING_FILE)
    with _gathered(errors):
        calls = list(
            recordings.read_recordings(folder / recordings.WARMUP_FILE)
        )
        errors += folder_check.warmup_errors(
            folder / recordings.WARMUP_FILE, calls, table
        )
    appended = (APPEND_EVENTS,) * (APPEND_EVENTS in table)
    signatures: tuple[str, ...] = (*SIGNATURES, *appended)
    schema = None
    if set(IMAGE_SIGNATURES) <= set(table):
        signatures = IMAGE_SIGNATURES
        errors += folder_check.tower_errors(table, folder)
    elif ENCODE_ITEMS in table:
        signatures = RETRIEVAL_SIGNATURES
        with _gathered(errors):
            known = Schema.load(folder / SCHEMA_FILE)
            wrong = list(folder_check.retriever_errors(table, known))
            errors += wrong
            schema = None if wrong else known
    else:
        with _gathered(errors):
            known = Schema.load(folder / SCHEMA_FILE)
            widths = candidate_buckets(known.max_candidates)
            wrong = list(folder_check.schema_errors(table, known))
            errors += wrong
            schema = None if wrong else known
    errors += folder_check.coverage_errors(
        calls, signatures, batch_sizes, widths
    )
    report = {
        "signatures": table,
        "ops": folder_check.count_ops(graph),
        "tolerance": tolerance,
        "num_recordings": len(calls),
        "max_relative_difference": dict.fromkeys(
            (*signatures, "invariants"), 0.0
        ),
    }
    if not refused:
        with _gathered(errors):
            start = time.perf_counter()
            model = LoadedModel(folder)
            seconds = time.perf_counter() - start
            report["load_seconds"] = round(seconds, 3)
            for call in calls:
                if call.signature in signatures:
                    _replay(model, call, schema, report, errors)
            items = [c.inputs for c in calls if c.signature == ENCODE_ITEMS]
            if items and schema is not None:
                for call in calls:
                    if call.signature in (SERVING_DEFAULT, ENCODE_USER):
                        _check_towers(
                            model, call, items[-1], schema, report, errors
                        )
    return report


def _replay(
    model: LoadedModel,
    call: recordings.Recording,
    schema: Schema | None,
    report: Mapping[str, Any],
    errors: list[str],
) -> None:
    """Compares answers; the report gets the largest differences."""
    name, tolerance = call.signature, report["tolerance"]
    differences = report["max_relative_difference"]
    what = f"{model.folder}: signature `{name}` and the live model"
    with _gathered(errors):
        answer = model.call(name, call.inputs)
        if ENCODE_ITEMS not in model.signatures:
            invariants.check_scores(call.inputs, answer)
        found = check_equal(call.outputs, answer, what, tolerance)
        differences[name] = max(differences[name], found)
    compared = []
    if not {CLASSIFY, ENCODE_ITEMS}.isdisjoint(model.signatures):
        compared = [invariants.rows_alone(model, name, call.inputs)]
    elif schema is not None and name == SERVING_DEFAULT:
        tolerance = min(tolerance, _INVARIANT_TOLERANCE)
        compared = [
            invariants.halves_and_padding(model, call.inputs, schema),
            invariants.rows_alone(model, name, call.inputs),
        ]
        if APPEND_EVENTS in model.signatures:
            compared.append(grown_states(model, call.inputs, schema))
    _compare(itertools.chain(*compared), tolerance, report, errors)


def _check_towers(
    model: LoadedModel,
    call: recordings.Recording,
    items: Mapping[str, Any],
    schema: Schema,
    report: Mapping[str, Any],
    errors: list[str],
) -> None:
    """Compares what a retriever or a coarse tower answers with itself."""
    compared = [
        invariants.other_padding(model, call.signature, call.inputs, schema)
    ]
    if call.signature == SERVING_DEFAULT:
        compared += [
            invariants.nothing_given(model, call.inputs),
            invariants.products(model, call.inputs, items),
        ]
        if EXCLUDED in call.inputs:
            with _gathered(errors):
                answer = model.call(call.signature, call.inputs)
                invariants.check_lists(call.inputs, answer)
    _compare(itertools.chain(*compared), report["tolerance"], report, errors)


def _compare(
    compared: invariants.Compared,
    tolerance: float,
    report: Mapping[str, Any],
    errors: list[str],
) -> None:
    """Compares answers that must be equal; the report gets the difference."""
    differences = report["max_relative_difference"]
    with _gathered(errors):
        found = invariants.check_invariants(compared, tolerance)
        differences["invariants"] = max(differences["invariants"], found)


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
