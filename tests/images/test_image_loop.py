"""Fine-tuning learns, saves, and resumes to the same numbers."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from jd_tf.images.backbones import BACKBONES
from jd_tf.images.image_list import read_labelled
from jd_tf.images.image_loop import load_initial
from jd_tf.images.image_predictions import ImagePredictor, image_metrics
from jd_tf.images.image_tower import ImageTower
from jd_tf.schema import DataError
from jd_tf.training.checkpoints import Checkpoints
from jd_tf.training.loop.trainer import NotFiniteError
from jd_tf.training.workdir import load_trained
from tests.images.image_kill_target import (
    CONFIG,
    OUTCOME,
    TINY,
    make_trainer,
    outcome,
)
from tests.images.photos import write_folder

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 240


@pytest.fixture(scope="module", name="photos")
def _photos(tmp_path_factory):
    """Photos, and for as long a backbone that is quick to trace."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, "tiny", TINY)
        yield write_folder(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module", name="whole")
def _whole(photos, tmp_path_factory):
    """A run that nobody disturbed."""
    workdir = tmp_path_factory.mktemp("whole")
    trainer = make_trainer(photos, workdir)
    trainer.train()
    return trainer, outcome(trainer)


def _compare(found, expected):
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(found[key], value, err_msg=key)


def _newest(workdir):
    steps = Checkpoints(workdir / "checkpoints").steps()
    return steps[-1] if steps else -1


def test_a_kill_changes_nothing(photos, whole, tmp_path):
    workdir = tmp_path / "killed"
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tests.images.image_kill_target",
            str(photos),
            str(workdir),
        ],
        cwd=ROOT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + PATIENCE_SECONDS
    # Past the frozen pass of four steps, and within the next.
    while _newest(workdir) < 6 and process.poll() is None:
        assert time.monotonic() < deadline, "no checkpoint in time"
        time.sleep(0.002)
    process.kill()
    _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == -signal.SIGKILL, errors.decode()
    assert not (workdir / OUTCOME).exists()
    trainer = make_trainer(photos, workdir)
    trainer.train()
    _compare(outcome(trainer), whole[1])


def test_a_polite_signal_saves_where_it_stands(photos, whole, tmp_path):
    trainer = make_trainer(photos, tmp_path)
    run = trainer.steps.run

    def interrupt(*batch, **options):
        if trainer.state.step == 6:
            signal.raise_signal(signal.SIGTERM)
        return run(*batch, **options)

    trainer.steps.run = interrupt
    trainer.train()
    assert (trainer.stopped_by, trainer.signal) == ("signal", signal.SIGTERM)
    assert _newest(tmp_path) == trainer.state.step == 7
    again = make_trainer(photos, tmp_path)
    again.train()
    _compare(outcome(again), whole[1])


def test_a_history_row_a_pass_and_the_best_weights(photos, whole):
    trainer, _ = whole
    history = trainer.state.history
    assert trainer.stopped_by == "epochs"
    assert [row["epoch"] for row in history] == [0, 1, 2, 3, 4, 5]
    assert [row["step"] for row in history] == [0, 4, 8, 12, 16, 20]
    assert "loss" not in history[0]
    assert all(np.isfinite(row["loss"]) for row in history[1:])
    best = max(row["validation/top1"] for row in history[1:])
    assert trainer.state.best_value == best
    found = ImagePredictor(trainer.tower, 5).predict(trainer.validation)
    assert image_metrics(found)["top1"] == best
    # One checkpoint is kept beside the best.
    assert len(trainer.checkpoints.steps()) <= 2


def test_loads_best_and_initial_weights(photos, whole):
    trainer, _ = whole
    loaded = load_trained(trainer.workdir)
    assert isinstance(loaded, ImageTower)
    for one, two in zip(
        loaded.get_weights(), trainer.tower.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, two)
    load_initial(trainer.workdir, loaded)
    found = image_metrics(ImagePredictor(loaded).predict(trainer.validation))
    first = trainer.state.history[0]
    assert found["top1"] == first["validation/top1"]
    assert found["loss"] == pytest.approx(first["validation/loss"], rel=1e-5)


def test_learns_colours_from_scratch(photos, tmp_path):
    config = dataclasses.replace(
        CONFIG,
        weights="",
        frozen_epochs=0,
        epochs=12,
        batch_size=8,
        learning_rate=3e-3,
        backbone_learning_rate=3e-3,
    )
    trainer = make_trainer(photos, tmp_path, config)
    trainer.train()
    test = read_labelled(photos)["test"]
    metrics = image_metrics(ImagePredictor(trainer.tower).predict(test))
    assert metrics["top1"] > 0.9
    assert metrics["top5"] is None
    assert metrics["num_images"] == 12


def test_another_config_is_refused(photos, whole, tmp_path):
    other = dataclasses.replace(CONFIG, learning_rate=0.5)
    with pytest.raises(DataError, match=r"learning_rate = 0.001, this one 0.5"):
        make_trainer(photos, whole[0].workdir, other).train()


def test_stops_when_time_is_up_with_what_it_has(photos, tmp_path):
    config = dataclasses.replace(CONFIG, time_limit_seconds=1e-6)
    trainer = make_trainer(photos, tmp_path, config)
    trainer.train()
    assert trainer.stopped_by == "time_limit"
    assert trainer.state.epoch == 0


def test_stops_on_a_loss_that_is_no_number(photos, tmp_path):
    trainer = make_trainer(photos, tmp_path)
    run = trainer.steps.run

    def broken(*batch, **options):
        record = run(*batch, **options)
        return record | {"loss": float("nan")} if trainer.state.step else record

    trainer.steps.run = broken
    with pytest.raises(NotFiniteError, match="step 2: the loss is nan"):
        trainer.train()
    assert _newest(tmp_path) == -1


def test_names_an_image_that_vanished(tmp_path):
    photos = write_folder(tmp_path / "photos")
    trainer = make_trainer(photos, tmp_path / "run")
    for path in (photos / "train" / "hat").iterdir():
        path.unlink()
    with pytest.raises(DataError, match=r"cannot be read now: .*train_hat"):
        trainer.train()
