"""Large random tables become requests, with any engine the same."""

import pytest

from tests.experiments.programs import run_program

pytestmark = pytest.mark.slow


def test_two_runs_write_the_same_and_leave_nothing(tmp_path):
    folder = tmp_path / "load"
    finished = run_program(
        "table_load",
        "--events=3000",
        "--engines=duckdb,duckdb",
        f"--folder={folder}",
    )
    assert finished.returncode == 0, finished.stderr
    made = [line for line in finished.stdout.splitlines() if "records" in line]
    assert len(made) == 2
    assert len({line.rpartition(" ")[2] for line in made}) == 1
    assert "'train': 2" in made[0]
    assert not folder.exists()


def test_an_unknown_engine_is_named_before_the_others_work(tmp_path):
    finished = run_program(
        "table_load",
        "--events=3000",
        "--engines=duckdb,hive",
        f"--folder={tmp_path / 'load'}",
    )
    assert finished.returncode == 2
    assert "hive" in finished.stderr
    assert "records" not in finished.stdout
