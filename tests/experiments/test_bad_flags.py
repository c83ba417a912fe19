"""Wrong flags of any program: one line, exit code 2, nothing written."""

import ast
import re

import pytest

from experiments.steps import Steps
from jd_tf.data.dataset import write_dataset
from jd_tf.schema import DataError
from tests.experiments.programs import (
    ROOT,
    error_line,
    own_lines,
    run_program,
    tiny_schema,
)
from tests.requests import random_requests

PROGRAMS = [
    path
    for path in sorted((ROOT / "experiments").rglob("*.py"))
    if "__main__" in path.read_text(encoding="utf-8")
]
STARTED_BY_PROGRAMS = {"bench_worker", "echo_server", "rechub_run"}


def slow(*values):
    """A case like another that is not slow."""
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop") / "data"
    schema = tiny_schema()
    splits = {s: random_requests(schema, 9) for s in ("train", "validation")}
    write_dataset(folder, schema, splits)
    return folder


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--balance=no", "--balance=no: value should be one of"),
        slow("--batch_size=-3", "--batch_size=-3: -3 is not"),
        slow("--nonsense=1", "Unknown command line flag 'nonsense'"),
        slow("more", "unknown argument: 'more'"),
        ("--model_dim=30", "items.model_dim=30: .*multiple of `num_heads`=4"),
        slow("--dropout_rate=1.5", r"dropout_rate=1.5: .*in \[0, 1\)"),
        slow("--set=model.num_heads=5", "sequence.num_heads=5"),
        ("--set=training.weight_decay=x", "`weight_decay` must be float"),
        slow("--set=training.heads=1", "TrainingConfig has no field `heads`"),
        slow("--objective_weights=1,2", "`objective_weights` needs a number"),
        ("--monitor=auc/order", "`monitor` must be one of"),
    ],
)
def test_training_refuses_in_one_line(data, tmp_path, flag, message):
    workdir = tmp_path / "run"
    flags = [f"--data={data}", f"--workdir={workdir}", flag]
    finished = run_program("train", *flags)
    line = error_line(finished)
    assert re.search(message, line), line
    assert not workdir.exists()


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_every_program_refuses_alike(path):
    """All flags are parsed by `program.run`."""
    if path.stem in STARTED_BY_PROGRAMS:
        return
    calls = [
        ast.unparse(node.func)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    ]
    assert "program.run" in calls


@pytest.mark.parametrize("shown", [False, slow(True)])
def test_nothing_but_bars_on_the_standard_error(data, tmp_path, shown):
    """No bars without a terminal, and nothing of ours beside them."""
    finished = run_program(
        "train",
        f"--data={data}",
        f"--workdir={tmp_path / 'run'}",
        "--model=pooled_mmoe",
        "--monitor=loss",
        *(["--progress"] if shown else []),
    )
    assert finished.returncode == 0, finished.stderr
    assert "trained 1 steps" in finished.stdout
    lines = own_lines(finished)
    bars = [
        line for line in lines if line.startswith(("training:", "adapting"))
    ]
    assert bool(bars) is shown, finished.stderr
    if not shown:
        assert not lines


def test_a_missing_flag_is_named():
    assert "--data must have a value" in error_line(run_program("evaluate"))


def test_a_folder_is_bound_by_the_first_step_that_is_done(tmp_path):
    path = tmp_path / "made" / "steps.json"
    # A wrong value, seen by the first step.
    Steps(path, {"input": "wrong"})
    steps = Steps(path, {"input": "right"})
    steps.step("making", "make", lambda: 1)
    with pytest.raises(DataError, match="--input=right, not wrong"):
        Steps(path, {"input": "wrong"})
