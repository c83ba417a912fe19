"""Checks a SavedModel in a process that knows nothing but the folder.

    python -m jd_tf.serving.export.verify FOLDER [TOLERANCE]

loads it as a model server would, without the code of any model, replays the
recorded calls, compares the answers with the recorded ones, and prints what
it found as one line of JSON. Exit code 2 and one line on stderr otherwise.
"""

import os
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from jd_tf.schema import SERVING_ROLES, DataError, Schema
from jd_tf.serving.export.comparison import TOLERANCE, check_equal
from jd_tf.serving.export.findings import Findings
from jd_tf.serving.export.folder_check import (
    CheckedFolder,
    check_coverage,
    check_folder,
    replay,
)
from jd_tf.serving.export.fresh_process import answer_elsewhere
from jd_tf.serving.export.invariants import check_laws
from jd_tf.serving.export.recordings import WARMUP_FILE
from jd_tf.serving.export.signatures import column_specs
from jd_tf.serving.export.versions import SCHEMA_FILE
from jd_tf.serving.shape_buckets import candidate_buckets
from jd_tf.serving.signature_names import (
    RANK_CANDIDATES,
    SERVING_DEFAULT,
    SIGNATURES,
)

# Of a ranker that computes in half precision, laws are asked no less of.
_LAWS_TOLERANCE = 0.02


def verify(folder: str | Path, tolerance: float = TOLERANCE) -> dict[str, Any]:
    """Checks files, graph, signatures, recorded answers and laws.

    Args:
        folder: a version folder, or one that is about to become one.
        tolerance: the largest relative difference let through.

    Returns:
        As `examine`.

    Raises:
        ExportError: saying all that is wrong.
    """
    findings = Findings()
    report = examine(folder, findings, tolerance)
    findings.check()
    return report


def examine(
    folder: str | Path, findings: Findings, tolerance: float = TOLERANCE
) -> dict[str, Any]:
    """Checks all that can be checked of a ranker's version folder.

    Args:
        folder: as of `verify`.
        findings: is told all that is wrong.
        tolerance: as of `verify`.

    Returns:
        `signatures` (inputs and outputs), `ops` (counts), `tolerance`,
        `load_seconds`, `num_recordings` and `max_relative_difference`; none
        of it where there is no graph.
    """
    folder = Path(folder)
    start = time.perf_counter()
    try:
        checked = check_folder(folder, findings)
    except DataError as error:
        findings.add(str(error))
        return {}
    load_seconds = time.perf_counter() - start
    # Laws can be asked of signatures that are the schema's, and no others.
    lawful = None
    with findings.gather():
        schema = Schema.load(folder / SCHEMA_FILE)
        complaints = list(signature_complaints(checked.table, schema))
        findings.extend(complaints)
        findings.extend(_coverage_complaints(checked, schema))
        lawful = None if complaints else schema
    differences: dict[str, float] = dict.fromkeys((*SIGNATURES, "laws"), 0.0)
    known = [r for r in checked.recordings if r.signature in SIGNATURES]
    for recording in known if checked.model else ():
        signature = recording.signature
        with findings.gather():
            found = check_equal(
                recording.outputs,
                replay(checked, recording),
                f"{folder}: signature `{signature}` and the live model",
                tolerance,
            )
            differences[signature] = max(differences[signature], found)
        if signature == SERVING_DEFAULT and lawful is not None:
            with findings.gather():
                found = check_laws(
                    checked.model.call,
                    recording.inputs,
                    lawful,
                    min(tolerance, _LAWS_TOLERANCE),
                )
                differences["laws"] = max(differences["laws"], found)
    return {
        "signatures": checked.table,
        "ops": checked.ops,
        "tolerance": tolerance,
        "load_seconds": round(load_seconds, 3),
        "num_recordings": len(checked.recordings),
        "max_relative_difference": differences,
    }


def signature_complaints(
    table: Mapping[str, Any], schema: Schema
) -> Iterable[str]:
    """Complaints about signatures that are not the schema's."""
    missing = [name for name in SIGNATURES if name not in table]
    if missing:
        yield f"lacks the signatures {', '.join(missing)}."
    if SERVING_DEFAULT in missing:
        return
    inputs = table[SERVING_DEFAULT]["inputs"]
    specs = column_specs(schema, *SERVING_ROLES)
    expected = {
        name: {"dtype": spec.dtype.name, "shape": spec.shape.as_list()}
        for name, spec in specs.items()
    }
    for name in sorted({*inputs, *expected}):
        if inputs.get(name) != expected.get(name):
            yield (
                f"signature `{SERVING_DEFAULT}`: input `{name}` is "
                f"{inputs.get(name, 'missing')}, the schema says "
                f"{expected.get(name, 'nothing of it')}."
            )


def _coverage_complaints(
    checked: CheckedFolder, schema: Schema
) -> Iterable[str]:
    """Signatures, batch sizes and widths that no recorded call warms up."""
    yield from check_coverage(
        checked.recordings, SIGNATURES, checked.batch_sizes
    )
    for signature in (SERVING_DEFAULT, RANK_CANDIDATES):
        widths = {
            recording.inputs["item_id"].shape[1]
            for recording in checked.recordings
            if recording.signature == signature
            and recording.inputs.get("item_id") is not None
            and recording.inputs["item_id"].ndim == 2
        }
        missing = set(candidate_buckets(schema.max_candidates)) - widths
        if widths and missing:
            yield (
                f"{WARMUP_FILE}: signature `{signature}` is not warmed up for "
                f"{', '.join(map(str, sorted(missing)))} candidates."
            )


def main(arguments: list[str]) -> int:
    """Verifies the named folder; see the module's text."""
    return answer_elsewhere(verify, "jd_tf.serving.export.verify", arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
