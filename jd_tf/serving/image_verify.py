"""Checks a served image tower in a process that knows only the folder.

    python -m jd_tf.serving.image_verify FOLDER [TOLERANCE]

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

from jd_tf.serving.comparison import TOLERANCE, check_equal
from jd_tf.serving.errors import ExportError
from jd_tf.serving.fresh_process import answer_elsewhere
from jd_tf.serving.graph_check import (
    check_batchable,
    check_ops,
    read_graph,
    signature_table,
)
from jd_tf.serving.image_signature import IMAGE_BYTES, IMAGE_SIGNATURES
from jd_tf.serving.loading import LoadedModel
from jd_tf.serving.recordings import WARMUP_FILE, read_recordings

# Other shapes sum in another order.
_BATCHING_FACTOR = 10.0


def verify_image_tower(
    folder: str | Path, tolerance: float = TOLERANCE
) -> dict[str, Any]:
    """Checks graph, signatures and recorded answers of a SavedModel.

    Args:
        folder: a version folder, or one that is about to become one.
        tolerance: the largest relative difference let through.

    Returns:
        `signatures`, `ops` (counts), `tolerance`, `num_recordings` and
        `max_relative_difference` by signature, and `alone`: of an image
        asked for by itself to the same image in a batch.

    Raises:
        ExportError: saying what is wrong.
    """
    folder = Path(folder)
    graph = read_graph(folder)
    ops = check_ops(graph)
    table = signature_table(graph)
    for signature in IMAGE_SIGNATURES:
        inputs = table.get(signature, {}).get("inputs")
        if inputs != {IMAGE_BYTES: {"dtype": "string", "shape": [None]}}:
            raise ExportError(
                f"{folder}: signature `{signature}` must take `{IMAGE_BYTES}` "
                f"(B,) string. It takes {inputs}."
            )
    check_batchable(table)
    model = LoadedModel(folder)
    differences = dict.fromkeys((*IMAGE_SIGNATURES, "alone"), 0.0)
    recordings = list(read_recordings(folder / WARMUP_FILE))
    if not recordings:
        raise ExportError(f"{folder / WARMUP_FILE}: holds no calls.")
    for recording in recordings:
        signature = recording.signature
        answer = model.call(signature, recording.inputs)
        found = check_equal(
            recording.outputs,
            answer,
            f"{folder}: signature `{signature}` and the live model",
            tolerance,
        )
        differences[signature] = max(differences[signature], found)
        contents = recording.inputs[IMAGE_BYTES]
        single = [
            model.call(signature, {IMAGE_BYTES: contents[place : place + 1]})
            for place in range(len(contents))
        ]
        alone = {
            name: np.concatenate([one[name] for one in single])
            for name in answer
        }
        found = check_equal(
            answer,
            alone,
            f"{folder}: signature `{signature}` and images one by one",
            _BATCHING_FACTOR * tolerance,
        )
        differences["alone"] = max(differences["alone"], found)
    return {
        "signatures": table,
        "ops": ops,
        "tolerance": tolerance,
        "num_recordings": len(recordings),
        "max_relative_difference": differences,
    }


def main(arguments: list[str]) -> int:
    """Verifies the named folder; see the module's text."""
    return answer_elsewhere(
        verify_image_tower, "jd_tf.serving.image_verify", arguments
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
