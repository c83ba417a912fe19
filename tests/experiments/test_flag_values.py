"""Runs `flag_value_cases.py` in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_values_that_name_nothing():
    cases = Path(__file__).with_name("flag_value_cases.py")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", cases],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout
    assert " passed" in run.stdout
