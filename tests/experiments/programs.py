"""Programs run from the prompt, and the smallest schema they take."""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
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


# Processes forked off one that has loaded TensorFlow: that alone takes 6 s of
# processor time, which a suite of hundreds of programs should spend once.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.experiments.loaded_tensorflow"])


def run_program(name: str, *arguments: object) -> subprocess.CompletedProcess:
    """Runs `python -m experiments.<name>` without a GPU, in a process."""
    command = [f"experiments.{name}", *map(str, arguments)]
    with tempfile.TemporaryDirectory() as folder:
        printed = [Path(folder, stream) for stream in ("stdout", "stderr")]
        environment = {
            **os.environ,
            "CUDA_VISIBLE_DEVICES": "",
            "TF_CPP_MIN_LOG_LEVEL": "2",
        }
        process = _FORKS.Process(
            target=_run_module, args=(command, printed, environment)
        )
        process.start()
        process.join()
        texts = [path.read_text() for path in printed]
    return subprocess.CompletedProcess(command, process.exitcode, *texts)


def _run_module(
    command: list[str], printed: list[Path], environment: dict[str, str]
) -> None:
    for descriptor, path in enumerate(printed, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), descriptor)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    sys.argv = command
    runpy.run_module(command[0], run_name="__main__", alter_sys=True)


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
