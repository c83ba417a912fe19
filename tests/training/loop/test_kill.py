"""Training killed for real, and resumed to the same numbers."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from jd_tf.data.dataset import write_dataset
from jd_tf.training.checkpoints import Checkpoints
from tests.requests import random_requests, small_schema
from tests.training.loop.kill_target import OUTCOME, TRAINERS, outcome

ROOT = Path(__file__).resolve().parents[3]
# So long a process may take to start and write its next checkpoint.
PATIENCE_SECONDS = 240


def _start(workdir, kind):
    command = [sys.executable, "-m", "tests.training.loop.kill_target"]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.Popen(
        [*command, str(workdir), kind],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def _newest(workdir):
    steps = Checkpoints(workdir / "checkpoints").steps()
    return steps[-1] if steps else -1


def _kill_after_progress(workdir, kind, moment):
    """Kills a session some time after it wrote its first checkpoint."""
    before = _newest(workdir)
    process = _start(workdir, kind)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while _newest(workdir) == before and process.poll() is None:
        assert time.monotonic() < deadline, "no checkpoint in time"
        time.sleep(0.005)
    time.sleep(moment)
    process.kill()
    _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == -signal.SIGKILL, errors.decode()


def _train(workdir, kind="toy"):
    trainer = TRAINERS[kind](workdir)
    trainer.train()
    return outcome(trainer)


def _compare(found, expected):
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(found[key], value, err_msg=key)


def _kill_three_times(workdir, kind, moments):
    reached = []
    for moment in moments:
        _kill_after_progress(workdir, kind, moment)
        reached.append(_newest(workdir))
    # Each session got further than the one before, none to the end.
    assert reached == sorted(set(reached))
    assert not (workdir / OUTCOME).exists()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return _train(tmp_path_factory.mktemp("toy") / "whole")


def test_three_kills_change_nothing(tmp_path, uninterrupted):
    generator = random.Random(os.urandom(8))
    moments = [generator.uniform(0, 0.15) for _ in range(3)]
    print(f"killed {moments} seconds after a checkpoint")
    killed = tmp_path / "a killed run"
    _kill_three_times(killed, "toy", moments)
    _compare(_train(killed), uninterrupted)


@pytest.mark.slow
def test_three_kills_change_nothing_of_the_ranker(tmp_path):
    schema = small_schema()
    splits = {
        "train": random_requests(schema, 1200, seed=1),
        "validation": random_requests(schema, 100, seed=2),
    }
    write_dataset(tmp_path / "data", schema, splits)
    _kill_three_times(tmp_path / "killed", "ranker", (0.0, 0.7, 0.3))
    _compare(
        _train(tmp_path / "killed", "ranker"),
        _train(tmp_path / "whole", "ranker"),
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_polite_signal_saves_where_it_stands(tmp_path, uninterrupted, number):
    trainer = TRAINERS["toy"](tmp_path)
    validate = trainer.validate

    def interrupt():
        if trainer.state.step == 140:
            signal.raise_signal(number)
        return validate()

    trainer.validate = interrupt
    before = signal.getsignal(number)
    trainer.train()
    assert (trainer.stopped_by, trainer.signal) == ("signal", number)
    assert signal.getsignal(number) is before
    assert _newest(tmp_path) == trainer.state.step == 140
    _compare(_train(tmp_path), uninterrupted)
