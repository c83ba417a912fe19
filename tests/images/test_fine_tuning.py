"""Fine-tuning learns, keeps what is frozen, and survives a kill."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from jd_tf.images import fine_tuning
from jd_tf.images.backbones import BACKBONES
from jd_tf.images.fine_tuning import NotFiniteError, fine_tune
from jd_tf.images.fine_tuning_config import (
    FineTuningConfig,
    default_fine_tuning,
)
from jd_tf.images.image_list import read_labelled
from jd_tf.images.image_tower import ImageTower, load_tower
from jd_tf.images.predictions import image_metrics, predict_images
from jd_tf.schema import DataError, SchemaError
from tests.images.image_kill_target import (
    CONFIG,
    OUTCOME,
    TINY,
    TOWER,
    make_tower,
    outcome,
    run,
)
from tests.images.photos import write_folder

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 240
WORDS = ("hat", "shoe", "skirt")


@pytest.fixture(scope="module", name="photos")
def _photos(tmp_path_factory):
    """Photos, and for as long a backbone that is quick to trace."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, "tiny", TINY)
        yield write_folder(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module", name="whole")
def _whole(photos, tmp_path_factory):
    """Folder, tower and history of a run that nobody disturbed."""
    workdir = tmp_path_factory.mktemp("whole")
    return workdir, *run(photos, workdir)


def _compare(found, expected):
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(found[key], value, err_msg=key)


def _epochs(workdir):
    path = workdir / "history.json"
    return len(json.loads(path.read_text())) if path.is_file() else 0


@pytest.mark.parametrize("epochs", [0, 3])
@pytest.mark.slow
def test_a_kill_changes_nothing(photos, whole, tmp_path, epochs):
    """Killed before any backup, and within the second phase."""
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
    started = workdir / "config.json"
    while process.poll() is None and not (
        started.is_file() and _epochs(workdir) >= epochs
    ):
        assert time.monotonic() < deadline, "no backup in time"
        time.sleep(0.002)
    process.kill()
    _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == -signal.SIGKILL, errors.decode()
    assert not (workdir / OUTCOME).exists()
    assert _epochs(workdir) < CONFIG.frozen_epochs + CONFIG.epochs
    _compare(outcome(*run(photos, workdir)), outcome(*whole[1:]))


@pytest.mark.slow
@pytest.mark.parametrize(
    "damaged", ["latest.weights.h5", "training_metadata.json"]
)
def test_a_backup_that_a_kill_cut_off_is_made_good(photos, tmp_path, damaged):
    """The backup before it counts, or none: the run still ends."""
    short = dataclasses.replace(CONFIG, epochs=1)
    run(photos, tmp_path, short)
    for folder in ("backup_frozen", "backup_unfrozen"):
        file = tmp_path / folder / damaged
        file.write_bytes(file.read_bytes()[:7])
    _, history = run(photos, tmp_path, CONFIG)
    assert [row["epoch"] for row in history] == [1, 2, 3, 4, 5]


def test_a_history_row_a_pass_and_the_best_weights(photos, whole):
    workdir, tower, history = whole
    assert [row["epoch"] for row in history] == [1, 2, 3, 4, 5]
    assert all(np.isfinite(row["loss"]) for row in history)
    validation = read_labelled(photos)["validation"]
    found = image_metrics(predict_images(tower, validation))
    best = max(history, key=lambda row: row["validation/top1"])
    for name in ("top1", "mean_recall", "loss"):
        expected = best[f"validation/{name}"]
        assert found[name] == pytest.approx(expected, rel=1e-4)
    for one, two in zip(
        load_tower(workdir).get_weights(), tower.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, two)
    # Nothing is left to do when it is run again.
    assert run(photos, workdir)[1] == history


def test_a_frozen_pass_leaves_the_backbone_bit_identical(photos, tmp_path):
    sets = read_labelled(photos)
    tower = make_tower(sets)
    before = tower.backbone.get_weights()
    head = tower.embedding_head.get_weights()
    config = dataclasses.replace(CONFIG, time_limit_seconds=1e-6)
    fine_tune(tower, config, tmp_path, sets["train"], sets["validation"])
    assert _epochs(tmp_path) == 1
    for one, two in zip(before, tower.backbone.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(head[0], tower.embedding_head.get_weights()[0])
    initial = load_tower(tmp_path, "initial").embedding_head.get_weights()
    np.testing.assert_array_equal(head[0], initial[0])


@pytest.mark.slow
@pytest.mark.parametrize("moves", [True, False])
def test_an_unfrozen_pass_moves_what_it_should(photos, tmp_path, moves):
    sets = read_labelled(photos)
    tower = make_tower(sets)
    before = {w.path: w.numpy() for w in tower.weights}
    config = dataclasses.replace(
        CONFIG, frozen_epochs=0, epochs=1, update_statistics=moves
    )
    fine_tune(tower, config, tmp_path, sets["train"], sets["validation"])
    for weight in tower.weights:
        moved = not np.array_equal(weight.numpy(), before[weight.path])
        assert moved == (moves or "moving" not in weight.path), weight.path


def test_head_and_backbone_have_rates_of_their_own():
    optimizer = fine_tuning.TwoRates(0.01)
    one, two = keras.Variable([1.0]), keras.Variable([1.0])
    optimizer.ratios = [1.0, 0.25]
    optimizer.build([one, two])
    optimizer.apply([tf.constant([1.0]), tf.constant([1.0])])
    moved = 1 - one.numpy(), 1 - two.numpy()
    # The first step of Adam is as long as its rate.
    np.testing.assert_allclose(moved[1] / moved[0], 0.25, rtol=0.2)


def test_titles_take_their_share_of_the_loss(photos):
    sets = read_labelled(photos)
    images = np.random.default_rng(0).uniform(0, 255, (6, 16, 16, 3))
    labels = np.eye(3)[[0, 1, 2, 0, 1, 2]]
    words = np.tile([[0.5, 0.5, 0]], (6, 1))
    # The last two photos have no title.
    titled = np.array([1, 1, 1, 1, 0, 0.0])
    losses = []
    for share in (0.0, 0.25, 1.0):
        keras.utils.set_random_seed(5)
        tower = ImageTower(TOWER, sets["train"].label_names, WORDS)
        config = dataclasses.replace(CONFIG, title_share=share)
        model = fine_tuning._compiled(tower, config, 10)
        found = model.evaluate(
            images,
            {"logits": labels, "title_logits": words},
            sample_weight={"logits": np.ones(6), "title_logits": titled},
            batch_size=6,
            verbose=0,
            return_dict=True,
        )
        losses.append(found["loss"])
    plain, some, full = losses
    assert some == pytest.approx(0.75 * plain + 0.25 * full, rel=1e-5)
    logits = tower(images)["title_logits"].numpy().astype("float64")
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    expected = -(words * logs).sum(axis=1)[:4].mean()
    assert full == pytest.approx(expected, rel=1e-5)


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
    tower, _ = run(photos, tmp_path, config)
    test = read_labelled(photos)["test"]
    metrics = image_metrics(predict_images(tower, test))
    assert metrics["top1"] > 0.9
    assert metrics["top5"] is None
    assert metrics["num_images"] == 12


def test_another_config_is_refused(photos, whole):
    other = dataclasses.replace(CONFIG, learning_rate=0.5)
    with pytest.raises(DataError, match=r"learning_rate = 0.001, this one 0.5"):
        run(photos, whole[0], other)


def test_says_when_the_images_do_not_fill_a_batch(photos, tmp_path):
    config = dataclasses.replace(CONFIG, batch_size=25)
    with pytest.raises(DataError, match=r"24 training images .* batch of 25"):
        run(photos, tmp_path, config)


def test_stops_on_a_loss_that_is_no_number(photos, tmp_path):
    config = dataclasses.replace(
        CONFIG, learning_rate=1e17, backbone_learning_rate=1e17, epochs=40
    )
    with pytest.raises(NotFiniteError, match="Lower the learning rates"):
        run(photos, tmp_path, config)
    assert all(np.isfinite(row["loss"]) for row in _history(tmp_path))


def _history(workdir):
    path = workdir / "history.json"
    return json.loads(path.read_text()) if path.is_file() else []


def test_names_an_image_that_vanished(photos, tmp_path):
    sets = read_labelled(write_folder(tmp_path / "photos"))
    for path in (tmp_path / "photos" / "train" / "hat").iterdir():
        path.unlink()
    with pytest.raises(DataError, match=r"cannot be read now: .*train_hat"):
        fine_tune(
            make_tower(sets),
            CONFIG,
            tmp_path / "run",
            sets["train"],
            sets["validation"],
        )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"frozen_epochs": 1}, "`frozen_epochs` must be 0 without published"),
        ({"update_statistics": False}, "true without published weights"),
        ({"batch_size": 1}, "`batch_size` must be at least 2"),
        ({"monitor": "auc"}, "one of top1, top5"),
        ({"min_area": 0.0}, "`min_area` must be positive"),
        ({"class_balance": 2.0}, "`class_balance` must be at most 1"),
        ({"learning_rate": float("nan")}, "finite and not negative"),
    ],
)
def test_refuses_a_config_that_makes_no_sense(fields, message):
    with pytest.raises(SchemaError, match=message):
        FineTuningConfig(**fields)


def test_nothing_is_frozen_from_scratch():
    assert default_fine_tuning("").frozen_epochs == 0
    assert default_fine_tuning("").update_statistics
    published = default_fine_tuning("resnet101_notop.h5")
    assert published.frozen_epochs > 0
    assert published.backbone_learning_rate < published.learning_rate
    assert not published.update_statistics
