"""Programs run from the prompt, and the smallest schema they take."""

import os
import subprocess
import sys
from pathlib import Path

from jd_tf.schema import Behavior, IdColumn, Objective, Schema
from tests.requests import small_schema

ROOT = Path(__file__).resolve().parents[2]


def tiny_schema(*objectives: Objective) -> Schema:
    """Returns a schema of one id column and one behaviour."""
    return small_schema(
        item_columns=(IdColumn("item_id", num_buckets=50),),
        behaviors=(Behavior("click", max_length=4),),
        objectives=objectives or (Objective("click"),),
        item_dense=(),
        session_dense=(),
        context_columns=(),
        bias_columns=(),
    )


def run_program(name: str, *arguments: object) -> subprocess.CompletedProcess:
    """Runs `python -m experiments.<name>` without a GPU."""
    return subprocess.run(
        [sys.executable, "-m", f"experiments.{name}", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={
            **os.environ,
            "CUDA_VISIBLE_DEVICES": "",
            "TF_CPP_MIN_LOG_LEVEL": "2",
        },
    )


def own_lines(finished: subprocess.CompletedProcess) -> list[str]:
    """Returns the lines of the standard error, those of bars each."""
    return finished.stderr.replace("\r", "\n").splitlines()


def error_line(finished: subprocess.CompletedProcess) -> str:
    """Returns the one line of a refusal, with exit code 2, no traceback."""
    assert finished.returncode == 2, finished.stderr
    assert "Traceback" not in finished.stderr
    (line,) = own_lines(finished)
    assert line.startswith("error: ")
    return line


def assert_help_is_light(name: str) -> None:
    """Fails if a program loads TensorFlow or Keras before it runs."""
    code = (
        f"import experiments.{name}, sys; "
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
