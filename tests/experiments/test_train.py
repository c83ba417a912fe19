"""`python -m experiments.train`: exit codes and messages."""

import json

import pytest

from experiments.train_ranker import NOT_FINITE, train_ranker
from jd_tf.data.dataset import write_dataset
from jd_tf.models.ranking.jd_ranker_config import JDRankerConfig
from jd_tf.schema import DataError, Objective
from jd_tf.training.config import TrainingConfig
from tests.experiments.programs import (
    assert_help_is_light,
    error_line,
    run_program,
    tiny_schema,
)
from tests.requests import random_requests

SCHEMA = tiny_schema(Objective("click"), Objective("order", given="click"))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("a shop") / "data"
    splits = {
        "train": random_requests(SCHEMA, 64, seed=1),
        "validation": random_requests(SCHEMA, 32, seed=2),
    }
    write_dataset(folder, SCHEMA, splits)
    return folder


@pytest.mark.slow
def test_goes_on_with_a_run_then_names_a_cut_checkpoint(data, tmp_path):
    workdir = tmp_path / "a run"
    small = JDRankerConfig.of(model_dim=8)
    config = TrainingConfig(batch_size=16, progress=False)
    assert train_ranker(data, workdir, small, config) == 4
    stored = json.loads((workdir / "config.json").read_text())
    assert stored["training"]["batch_size"] == 16
    assert (workdir / "schema.json").is_file()
    with pytest.raises(DataError, match="batch_size = 16"):
        train_ranker(
            data, workdir, small, TrainingConfig(batch_size=8, progress=False)
        )

    # Flags not given are those of the run, so this asks for more of it.
    common = [f"--data={data}", f"--workdir={workdir}"]
    finished = run_program("train", *common, "--epochs=2")
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.startswith("trained 8 steps")

    newest = sorted((workdir / "checkpoints").glob("step-*"))[-1]
    for file in newest.glob("variables.data*"):
        file.write_bytes(file.read_bytes()[:100])
    line = error_line(run_program("train", *common, "--epochs=3"))
    assert "variables.data-00000-of-00001: has 100 bytes" in line
    assert "Delete the folder" in line


def test_unusable_data_writes_nothing(tmp_path):
    finished = run_program(
        "train", f"--data={tmp_path / 'no'}", f"--workdir={tmp_path / 'w'}"
    )
    assert "no such folder" in error_line(finished)
    assert not (tmp_path / "w").exists()


def test_lists_of_numbers_are_numbers(tmp_path):
    flags = [f"--data={tmp_path / 'no'}", f"--workdir={tmp_path / 'w'}"]
    line = error_line(
        run_program(
            "train", *flags, "--fusion=global", "--fusion_values=1,many"
        )
    )
    assert "--fusion_values: could not convert" in line


def test_help_does_not_wait_for_tensorflow():
    assert_help_is_light("train")


def test_numbers_that_are_not_finite_have_their_own_code(
    data, tmp_path, capsys
):
    steep = TrainingConfig(
        batch_size=4,
        learning_rate=1e17,
        max_gradient_norm=0.0,
        progress=False,
    )
    small = JDRankerConfig.of(model_dim=8)
    with pytest.raises(SystemExit) as stopped:
        train_ranker(data, tmp_path / "run", small, steep)
    assert stopped.value.code == NOT_FINITE
    assert "error: training step" in capsys.readouterr().err
