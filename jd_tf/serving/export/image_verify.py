"""Checks a served image tower in a process that knows only the folder.

    python -m jd_tf.serving.export.image_verify FOLDER [TOLERANCE]

loads it as a model server would, without the code of the model, replays the
recorded calls, compares the answers, asks for each image alone what it asked
for all together, and prints what it found as one line of JSON. Exit code 2
and one line on stderr otherwise.
"""

import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from jd_tf.schema import DataError
from jd_tf.serving.export.comparison import TOLERANCE, check_equal
from jd_tf.serving.export.findings import Findings
from jd_tf.serving.export.folder_check import (
    check_coverage,
    check_folder,
    replay,
)
from jd_tf.serving.export.fresh_process import answer_elsewhere
from jd_tf.serving.export.image_signature import IMAGE_BYTES, IMAGE_SIGNATURES
from jd_tf.serving.export.loading import LoadedModel
from jd_tf.serving.export.recordings import Recording

# Other shapes sum in another order.
_BATCHING_FACTOR = 10.0


def verify_image_tower(
    folder: str | Path, tolerance: float = TOLERANCE
) -> dict[str, Any]:
    """Checks files, graph, signatures and recorded answers of a SavedModel.

    Args:
        folder: a version folder, or one that is about to become one.
        tolerance: the largest relative difference let through.

    Returns:
        As `examine_image_tower`.

    Raises:
        ExportError: saying all that is wrong.
    """
    findings = Findings()
    report = examine_image_tower(folder, findings, tolerance)
    findings.check()
    return report


def examine_image_tower(
    folder: str | Path, findings: Findings, tolerance: float = TOLERANCE
) -> dict[str, Any]:
    """Checks all that can be checked of an image tower's version folder.

    Args:
        folder: as of `verify_image_tower`.
        findings: is told all that is wrong.
        tolerance: as of `verify_image_tower`.

    Returns:
        `signatures`, `ops` (counts), `tolerance`, `num_recordings` and
        `max_relative_difference` by signature, and `alone`: of an image
        asked for by itself to the same image in a batch. None of it where
        there is no graph.
    """
    folder = Path(folder)
    try:
        checked = check_folder(folder, findings)
    except DataError as error:
        findings.add(str(error))
        return {}
    for signature in IMAGE_SIGNATURES:
        inputs = checked.table.get(signature, {}).get("inputs")
        if inputs != {IMAGE_BYTES: {"dtype": "string", "shape": [None]}}:
            findings.add(
                f"{folder}: signature `{signature}` must take `{IMAGE_BYTES}` "
                f"(B,) string. It takes {inputs}."
            )
    findings.extend(
        check_coverage(
            checked.recordings, IMAGE_SIGNATURES, checked.batch_sizes
        )
    )
    differences = dict.fromkeys((*IMAGE_SIGNATURES, "alone"), 0.0)
    known = [r for r in checked.recordings if r.signature in IMAGE_SIGNATURES]
    for recording in known if checked.model else ():
        signature = recording.signature
        with findings.gather():
            answer = replay(checked, recording)
            found = check_equal(
                recording.outputs,
                answer,
                f"{folder}: signature `{signature}` and the live model",
                tolerance,
            )
            differences[signature] = max(differences[signature], found)
            found = check_equal(
                answer,
                _one_by_one(checked.model, recording),
                f"{folder}: signature `{signature}` and images one by one",
                _BATCHING_FACTOR * tolerance,
            )
            differences["alone"] = max(differences["alone"], found)
    return {
        "signatures": checked.table,
        "ops": checked.ops,
        "tolerance": tolerance,
        "num_recordings": len(checked.recordings),
        "max_relative_difference": differences,
    }


def _one_by_one(model: LoadedModel, recording: Recording) -> dict[str, Any]:
    """Answers for a batch of images, each asked for alone, equal ones once."""
    answers: dict[bytes, dict[str, np.ndarray]] = {}
    for content in recording.inputs[IMAGE_BYTES]:
        if content not in answers:
            alone = {IMAGE_BYTES: np.array([content], object)}
            answers[content] = model.call(recording.signature, alone)
    each = [answers[content] for content in recording.inputs[IMAGE_BYTES]]
    return {name: np.concatenate([a[name] for a in each]) for name in each[0]}


def main(arguments: list[str]) -> int:
    """Verifies the named folder; see the module's text."""
    return answer_elsewhere(
        verify_image_tower, "jd_tf.serving.export.image_verify", arguments
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
