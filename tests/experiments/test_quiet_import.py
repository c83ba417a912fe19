"""Notes of TensorFlow's import stay away from a standard error."""

import subprocess
import sys

import pytest

from tests.experiments.programs import ROOT

_IMPORT = """
import sys
from experiments.quiet_import import QuietTensorFlow
sys.meta_path.insert(0, QuietTensorFlow())
sys.path.insert(0, sys.argv[1])
import tensorflow
print("imported", tensorflow.__name__, file=sys.stderr)
"""
_NOTES = """WARNING: All log messages before absl::InitializeLog() is called are
I0000 00:00:1796.1 28 cudart_stub.cc:31] Could not find cuda drivers
E0000 00:00:1796.2 28 cuda_platform.cc:52] failed call to cuInit: INTERNAL
"""
_NEWS = "E0000 00:00:1796.3 28 cuda_dnn.cc:9] no memory left\n"


@pytest.mark.parametrize(
    ("ending", "code", "last"),
    [("", 0, "imported tensorflow"), ("1 / 0", 1, "ZeroDivisionError")],
)
def test_notes_are_left_out_and_news_are_not(tmp_path, ending, code, last):
    stub = (
        "import os\n"
        f"os.write(2, {_NOTES!r}.encode())\n"
        "class config:\n"
        "    def list_physical_devices():\n"
        f"        os.write(2, {_NOTES + _NEWS!r}.encode())\n"
        f"{ending or 'pass'}\n"
    )
    (tmp_path / "tensorflow.py").write_text(stub, encoding="utf-8")
    finished = subprocess.run(
        [sys.executable, "-c", _IMPORT, tmp_path],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert finished.returncode == code
    assert last in finished.stderr.splitlines()[-1]
    assert not set(_NOTES.splitlines()) & set(finished.stderr.splitlines())
    assert (_NEWS in finished.stderr) == (code == 0)


def test_without_tensorflow_the_error_is_the_usual_one(tmp_path):
    code = _IMPORT.replace("sys.path.insert(0, sys.argv[1])", "sys.path = []")
    finished = subprocess.run(
        [sys.executable, "-c", code, tmp_path],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert (
        "ModuleNotFoundError: No module named 'tensorflow'" in finished.stderr
    )
