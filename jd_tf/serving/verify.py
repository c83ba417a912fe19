"""Checks a SavedModel in a process that knows nothing but the folder.

    python -m jd_tf.serving.verify FOLDER [TOLERANCE]

loads it as a model server would, without the code of any model, replays the
recorded calls, compares the answers with the recorded ones, and prints what
it found as one line of JSON. Exit code 2 and one line on stderr otherwise.
"""

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from jd_tf.schema import SERVING_ROLES, Schema
from jd_tf.serving.comparison import TOLERANCE, check_equal
from jd_tf.serving.errors import ExportError
from jd_tf.serving.fresh_process import answer_elsewhere
from jd_tf.serving.graph_check import (
    check_batchable,
    check_ops,
    read_graph,
    signature_table,
)
from jd_tf.serving.laws import check_laws
from jd_tf.serving.loading import SCHEMA_FILE, LoadedModel
from jd_tf.serving.recordings import WARMUP_FILE, read_recordings
from jd_tf.serving.signatures import SERVING_DEFAULT, SIGNATURES, column_specs


def verify(folder: str | Path, tolerance: float = TOLERANCE) -> dict[str, Any]:
    """Checks graph, signatures, recorded answers and laws of a SavedModel.

    Args:
        folder: a version folder, or one that is about to become one.
        tolerance: the largest relative difference let through.

    Returns:
        `signatures` (inputs and outputs), `ops` (counts), `tolerance`,
        `load_seconds`, `num_recordings` and `max_relative_difference`.

    Raises:
        ExportError: saying what is wrong.
    """
    folder = Path(folder)
    graph = read_graph(folder)
    ops = check_ops(graph)
    table = signature_table(graph)
    schema = Schema.load(folder / SCHEMA_FILE)
    check_signatures(table, schema)
    check_batchable(table)
    start = time.perf_counter()
    model = LoadedModel(folder)
    load_seconds = time.perf_counter() - start
    differences: dict[str, float] = dict.fromkeys(SIGNATURES, 0.0)
    laws, num_recordings = 0.0, 0
    for recording in read_recordings(folder / WARMUP_FILE):
        num_recordings += 1
        signature = recording.signature
        answer = model.call(signature, recording.inputs)
        differences[signature] = max(
            differences[signature],
            check_equal(
                recording.outputs,
                answer,
                f"{folder}: signature `{signature}` and the live model",
                tolerance,
            ),
        )
        if signature == SERVING_DEFAULT:
            found = check_laws(model.call, recording.inputs, schema, tolerance)
            laws = max(laws, found)
    if not num_recordings:
        raise ExportError(f"{folder / WARMUP_FILE}: holds no calls.")
    return {
        "signatures": table,
        "ops": ops,
        "tolerance": tolerance,
        "load_seconds": round(load_seconds, 3),
        "num_recordings": num_recordings,
        "max_relative_difference": {**differences, "laws": laws},
    }


def check_signatures(table: Mapping[str, Any], schema: Schema) -> None:
    """Refuses signatures that are not the schema's."""
    missing = [name for name in SIGNATURES if name not in table]
    if missing:
        raise ExportError(f"lacks the signatures {', '.join(missing)}.")
    inputs = table[SERVING_DEFAULT]["inputs"]
    specs = column_specs(schema, *SERVING_ROLES)
    expected = {
        name: {"dtype": spec.dtype.name, "shape": spec.shape.as_list()}
        for name, spec in specs.items()
    }
    for name in sorted({*inputs, *expected}):
        if inputs.get(name) != expected.get(name):
            raise ExportError(
                f"signature `{SERVING_DEFAULT}`: input `{name}` is "
                f"{inputs.get(name, 'missing')}, the schema says "
                f"{expected.get(name, 'nothing of it')}."
            )


def main(arguments: list[str]) -> int:
    """Verifies the named folder; see the module's text."""
    return answer_elsewhere(verify, "jd_tf.serving.verify", arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
