"""Verification in a process that shares nothing with the one that wrote."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jd_tf
from jd_tf.schema import DataError
from jd_tf.serving.errors import ExportError

_VERIFY_SECONDS = 1800


def verify_elsewhere(
    folder: Path, tolerance: float, module: str = "jd_tf.serving.export.verify"
) -> dict[str, Any]:
    """Runs a verifying module on a folder in a process of its own.

    Args:
        folder: what was exported.
        tolerance: the largest relative difference.
        module: one whose `main` is `answer_elsewhere`.

    Returns:
        What it found.

    Raises:
        ExportError: with that process's complaint.
    """
    root = str(Path(jd_tf.__file__).resolve().parents[1])
    known = os.environ.get("PYTHONPATH", "")
    finished = subprocess.run(
        [sys.executable, "-m", module, str(folder), str(tolerance)],
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


def answer_elsewhere(
    verify: Callable[..., dict[str, Any]], module: str, arguments: Sequence[str]
) -> int:
    """The other end: what a verifying module does when it is run.

    Args:
        verify: (folder, tolerance) -> what it found.
        module: its name, for the usage.
        arguments: of the command line: folder and perhaps tolerance.

    Returns:
        The exit code: 0 and one line of JSON, or 2 and one line on stderr.
    """
    if len(arguments) not in (1, 2):
        print(f"usage: {module} FOLDER [TOLERANCE]", file=sys.stderr)
        return 2
    try:
        report = verify(arguments[0], *map(float, arguments[1:]))
    except DataError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    print(json.dumps(report))
    return 0
