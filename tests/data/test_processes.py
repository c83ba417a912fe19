"""Work in several processes, and what ends it."""

import os
import subprocess
import sys

import pytest

from jd_tf.data.processes import unordered_map
from jd_tf.schema import DataError
from tests.conftest import ROOT
from tests.data.light_work import square

SCRIPT = """
from jd_tf.data.processes import unordered_map

with unordered_map(2) as spread:
    print(list(spread(abs, [1, -2])))
"""


@pytest.mark.parametrize("num_processes", [1, 2])
def test_every_task_is_done_once(num_processes):
    with unordered_map(num_processes) as spread:
        assert sorted(spread(square, range(9))) == [n * n for n in range(9)]


def test_errors_of_a_task_are_raised():
    with (
        unordered_map(2) as spread,
        pytest.raises(ValueError, match="-5"),
    ):
        list(spread(square, [1, -5, 2]))


def test_a_process_that_ends_is_an_error():
    with (
        unordered_map(2) as spread,
        pytest.raises(DataError, match="ran out of memory"),
    ):
        list(spread(square, [1, 13, 2]))


def test_a_script_without_a_guard_says_what_to_do(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "if __name__ == '__main__':" in done.stderr
    assert not done.stdout
