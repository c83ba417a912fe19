"""Verification in a process that shares nothing with the one that wrote."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jd_tf
from jd_tf.serving.errors import ExportError

_VERIFY_SECONDS = 1800


def verify_elsewhere(
    folder: Path, tolerance: float, module: str = "jd_tf.serving.verify"
) -> dict[str, Any]:
    """Runs a verifying module on a folder in a process of its own.

    Args:
        folder: what was exported.
        tolerance: the largest relative difference.
        module: its arguments are folder and tolerance; it prints what it
            found as JSON, or complains and ends with another code than 0.

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
