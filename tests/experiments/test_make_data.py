"""The program, run as a user runs it."""

import json
import re

import pytest

from tests.data.sources.small_logs import micro_sessions, write_micro
from tests.data.tables.small_shop import random_tables, write_shop
from tests.experiments.programs import run_program


def run(*arguments):
    return run_program("make_data", *arguments)


@pytest.fixture
def log(tmp_path):
    return write_micro(tmp_path / "a log", micro_sessions(80))


def test_makes_a_data_set(tmp_path, log):
    output = tmp_path / "a data set"
    done = run(
        "--source=jd_micro",
        f"--input={log.parent}",
        f"--output={output}",
        "--num_candidates=5",
        "--num_shards=1",
        "--max_bad_records=2",
    )
    assert done.returncode == 0, done.stderr
    text = (output / "summary.txt").read_text()
    assert text in done.stdout
    assert (
        json.loads((output / "schema.json").read_text())["max_candidates"] == 5
    )
    assert sorted(path.name for path in output.iterdir()) == [
        "manifest.json",
        "schema.json",
        "summary.json",
        "summary.png",
        "summary.txt",
        "test-00000-of-00001.tfrecord",
        "train-00000-of-00001.tfrecord",
        "validation-00000-of-00001.tfrecord",
    ]


def test_bad_input_is_one_line_and_exit_code_2(tmp_path, log):
    log.write_bytes(log.read_bytes()[:-5])
    done = run(
        "--source=jd_micro",
        f"--input={log.parent}",
        f"--output={tmp_path / 'out'}",
    )
    assert done.returncode == 2
    (line,) = [
        line for line in done.stderr.splitlines() if line.startswith("error")
    ]
    assert f"{log}: line 80" in line
    assert [path.name for path in tmp_path.iterdir()] == ["a log"]


def test_an_unknown_source_is_refused_by_the_flag(tmp_path):
    done = run("--source=jd_macro", f"--output={tmp_path / 'out'}")
    assert done.returncode != 0
    assert "jd_micro" in done.stderr + done.stdout


@pytest.mark.slow
def test_makes_a_data_set_of_tables(tmp_path):
    config = write_shop(tmp_path / "shop", random_tables(1, events=300))
    output = tmp_path / "data"
    arguments = ("--source=tables", f"--config={config}", f"--output={output}")
    done = run(*arguments, "--statistics_delay=1d", "--memory_limit=1GB")
    assert done.returncode == 0, done.stderr
    assert "rows of events: 300" in done.stdout
    checked = run_program("check_tables", config)
    assert checked.returncode == 0, checked.stderr
    assert "rows of events: 300" in checked.stdout
    assert "item_1d_click_rate" in checked.stdout
    assert len(re.findall(r"of user \d+ at", checked.stdout)) == 10


def test_a_bad_table_is_one_line_and_exit_code_2(tmp_path):
    tables = random_tables(1, events=300)
    tables["events"].loc[7, "ts"] = 5
    config = write_shop(tmp_path / "shop", tables)
    done = run(
        "--source=tables", f"--config={config}", f"--output={tmp_path / 'out'}"
    )
    assert done.returncode == 2
    (line,) = [
        line for line in done.stderr.splitlines() if line.startswith("error")
    ]
    assert "table `events`" in line
    assert "1970" in line
    assert [path.name for path in tmp_path.iterdir()] == ["shop"]


def test_tables_need_a_configuration(tmp_path):
    done = run("--source=tables", f"--output={tmp_path / 'out'}")
    assert done.returncode == 2
    assert "--config" in done.stderr
