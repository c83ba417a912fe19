"""A work folder knows its data: another day's are refused, or gone on with."""

import keras
import numpy as np
import pytest

from jd_tf.data.batches import read_batches
from jd_tf.data.dataset import fingerprint, write_dataset
from jd_tf.data.files import read_json
from jd_tf.models.ranking.jd_ranker import JDRanker, JDRankerConfig
from jd_tf.schema import DataError
from jd_tf.training.build_from_config import build_trainer
from jd_tf.training.config import TrainingConfig
from jd_tf.training.folder_training import train_folder
from jd_tf.training.loop.trainer import Trainer
from jd_tf.training.workdir import check_workdir, load_trained
from tests.experiments.programs import tiny_schema
from tests.requests import random_requests
from tests.training.toy import STEPS_PER_EPOCH, ToyRanker, toy_batches

SCHEMA = tiny_schema()
SMALL = JDRankerConfig.of(model_dim=8, num_heads=2, feedforward_dim=8,
                       expert_units=(8,), tower_units=(4,))  # fmt: skip
FIRST, SECOND = 0.04, 0.45


def _day(folder, rate, seed):
    """Clicks come by chance, at this rate."""
    generator = np.random.default_rng(seed)
    splits = {}
    for split, count in (("train", 320), ("validation", 96)):
        splits[split] = random_requests(SCHEMA, count, seed=seed)
        for request in splits[split]:
            drawn = generator.random(request["labels"].shape) < rate
            request["labels"] = drawn.astype("float32")
    write_dataset(folder, SCHEMA, splits)
    return folder


@pytest.fixture(scope="module")
def days(tmp_path_factory):
    folder = tmp_path_factory.mktemp("days")
    rates = enumerate((FIRST, SECOND), 1)
    return [_day(folder / f"day {n}", rate, n) for n, rate in rates]


def _train(data, workdir, continue_on=False, **changes):
    settings = {
        "batch_size": 16,
        "learning_rate": 0.02,
        "table_learning_rate": 0.02,
        "progress": False,
        **changes,
    }
    config = TrainingConfig(**settings)
    keras.utils.set_random_seed(config.seed)
    model = JDRanker(SCHEMA, SMALL)
    return train_folder(model, data, workdir, config, continue_on=continue_on)


def _mean_probability(workdir, data):
    model = load_trained(workdir)
    batch = next(iter(read_batches(data, "validation", 96)))
    chances = model(batch)["probabilities"][..., 0].numpy()
    real = (
        np.arange(chances.shape[1]) < batch["num_candidates"].numpy()[:, None]
    )
    return chances[real].mean()


def test_a_second_day_is_refused_then_learned(days, tmp_path):
    first, second = days
    before = _train(first, tmp_path, epochs=2)
    files = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.json")}
    with pytest.raises(DataError, match=r"other data.*another folder.*--cont"):
        _train(second, tmp_path, epochs=2)
    now = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.json")}
    assert now == files

    # As many epochs as the first day had, and other settings of the training.
    after = _train(second, tmp_path, True, epochs=2, max_steps=30)
    start = before.state.best_step
    assert after.state.first_step == start
    assert after.state.step == start + 30
    assert after.stopped_by == "max_steps"
    assert after.state.best_step > start
    steps = [row["step"] for row in after.state.history]
    assert steps == sorted(steps)
    # What the first day's weights are worth on the second stands first.
    (kept,) = [
        row
        for row in after.state.history
        if row["step"] == start
        and "validation/loss" in row
        and row["epoch"] == 0
    ]
    assert kept["validation/normalized_entropy"] > after.state.best_value
    assert _mean_probability(tmp_path, second) == pytest.approx(
        SECOND, abs=0.08
    )
    # Run again, it is the second day's run.
    again = _train(second, tmp_path, True, epochs=2, max_steps=30)
    assert again.steps_taken == 0
    assert again.state == after.state
    with pytest.raises(DataError, match="other data"):
        _train(first, tmp_path, epochs=2)


def _toy(workdir, data, continue_on=True, validate=None, **changes):
    settings = {"learning_rate": 0.02, "progress": False, "log_every": 1}
    return build_trainer(
        TrainingConfig(**{**settings, **changes}),
        ToyRanker(),
        workdir,
        toy_batches,
        validate or (lambda: {"normalized_entropy": 1.0}),
        steps_per_epoch=STEPS_PER_EPOCH,
        data=data,
        continue_on=continue_on,
    )


def _scripted(*values):
    remaining = iter(values)
    return lambda: {"normalized_entropy": next(remaining)}


def test_a_day_that_teaches_nothing_keeps_the_weights_it_had(tmp_path):
    first = _toy(tmp_path, "1", validate=_scripted(0.5, 0.4, 0.6), epochs=3)
    first.train()
    assert first.state.best_step == 2 * STEPS_PER_EPOCH
    # On the second day's requests these weights are worth less: 0.8.
    second = _toy(tmp_path, "2", validate=_scripted(0.8, 0.9))
    start = [v.numpy() for v in second.step_fn.model.weights]
    second.train()
    state = second.state
    assert state.best_step == state.first_step == 2 * STEPS_PER_EPOCH
    assert state.best_value == 0.8
    assert state.step == 3 * STEPS_PER_EPOCH
    for weight, before in zip(second.step_fn.model.weights, start, strict=True):
        np.testing.assert_array_equal(weight, before)


def test_the_schedule_begins_anew(tmp_path):
    falling = {"decay_steps": -1, "final_rate": 0.1}
    _toy(tmp_path, "1", max_steps=8, **falling).train()
    trainer = _toy(tmp_path, "2", max_steps=4, **falling)
    trainer.train()
    rates = [
        row["learning_rate"]
        for row in trainer.state.history
        if "learning_rate" in row and row["step"] > 8
    ]
    cosine = (1 + np.cos(np.pi * np.arange(1, 5) / 4)) / 2
    wanted = 0.02 * (0.1 + 0.9 * cosine)
    np.testing.assert_allclose(rates, wanted, rtol=1e-4)


def test_another_rate_is_taken_and_another_model_is_not(tmp_path):
    _toy(tmp_path, "1", max_steps=2).train()
    trainer = _toy(tmp_path, "2", max_steps=2, learning_rate=0.5)
    trainer.train()
    rows = [row for row in trainer.state.history if "learning_rate" in row]
    assert rows[-1]["learning_rate"] == pytest.approx(0.5)
    with pytest.raises(DataError, match=r"learning_rate = 0.5, this one 0.02"):
        _toy(tmp_path, "2", max_steps=2)
    model = ToyRanker(dropout_rate=0.5)
    with pytest.raises(DataError, match=r"dropout_rate = 0.2, this one 0.5"):
        check_workdir(tmp_path, model, trainer.config, other_data=True)


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["_pass_over_data", "_evaluate", "_save"])
def test_a_kill_between_two_days_loses_neither(tmp_path, moment, monkeypatch):
    evaluations = _scripted(0.5, 0.4, 0.6)
    _toy(tmp_path, "1", validate=evaluations, epochs=3).train()
    best = 2 * STEPS_PER_EPOCH

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, moment, stop)
        with pytest.raises(KeyboardInterrupt):
            _toy(tmp_path, "2", max_steps=6).train()
    trainer = _toy(tmp_path, "2", max_steps=6)
    trainer.train()
    assert trainer.state.first_step == best
    assert trainer.state.step == best + 6
    steps = [s for s in trainer.checkpoints.steps() if s > best + 6]
    assert not steps


def test_a_fingerprint_is_of_what_is_trained_on(days, tmp_path):
    used = ("train", "validation")
    first, second = (fingerprint(day, used) for day in days)
    assert first != second
    requests = random_requests(SCHEMA, 20, seed=1)
    prints = []
    for name, swapped in (("a", False), ("b", False), ("c", True)):
        splits = {"train": requests[:9], "validation": requests[9:]}
        if swapped:
            splits = dict(zip(splits, reversed(splits.values()), strict=True))
        # A test split may be another every day.
        splits["test"] = requests[: ord(name) % 5 + 1]
        write_dataset(tmp_path / name, SCHEMA, splits)
        prints.append(fingerprint(tmp_path / name, used))
    assert prints[0] == prints[1] != prints[2]
    # Without its manifest a folder's files are read.
    (tmp_path / "a" / "manifest.json").unlink()
    assert fingerprint(tmp_path / "a", used) == prints[0]


def test_a_folder_without_a_checkpoint_is_bound_to_nothing(tmp_path):
    # As a kill before the first one leaves it.
    _toy(tmp_path, "1", monitor="loss", balance="grad_norm")
    assert (tmp_path / "config.json").exists()
    _toy(tmp_path, "2", continue_on=False, max_steps=1).train()
    stored = read_json(tmp_path / "config.json")["training"]
    assert stored["balance"] == "fixed"
    with pytest.raises(DataError, match="'fixed', this one 'grad_norm'"):
        _toy(tmp_path, "2", balance="grad_norm")


def test_a_config_that_cannot_run_takes_no_folder(tmp_path):
    for wrong in (
        {"objective_weights": (1.0,)},
        {"decay_steps": -1, "warmup_steps": 99},
    ):
        with pytest.raises(DataError):
            _toy(tmp_path / "run", "1", **wrong)
    assert not (tmp_path / "run").exists()
