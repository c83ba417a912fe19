"""Main network and fusion of the real ranker: apart, exact, resumable."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from jd_tf.data.batches import read_batches
from jd_tf.data.dataset import write_dataset
from jd_tf.models.config_fields import replace_fields
from jd_tf.models.ranking.jd_ranker import JDRanker, JDRankerConfig
from jd_tf.schema import DataError, IdColumn
from jd_tf.training.build_from_config import build_fusion, build_main_step
from jd_tf.training.checkpoints import Checkpoints
from jd_tf.training.config import TrainingConfig
from jd_tf.training.folder_training import train_folder
from jd_tf.training.fusion.isolation_check import (
    IsolationError,
    changed,
    check_isolation,
    gradient_leaks,
    variable_partition,
)
from jd_tf.training.named_variables import model_variables
from jd_tf.training.post_training_stage import num_fusion_steps
from jd_tf.training.workdir import POST_TRAINING, load_trained
from tests.requests import random_requests, small_schema

SCHEMA = small_schema(
    behaviors=small_schema().behaviors[:1],
    item_columns=(IdColumn("item_id", num_buckets=50),),
    item_dense=(),
    reward=True,
)
SMALL = JDRankerConfig.of(
    model_dim=8,
    num_heads=2,
    feedforward_dim=8,
    expert_units=(8,),
    tower_units=(4,),
    dropout_rate=0.1,
    fusion="personalized",
    # Behind one more stop_gradient.
    use_representation=True,
    calibrate=True,
)
PLAIN = replace_fields(SMALL, {"fusion": "", "calibrate": False})
CONFIG = TrainingConfig(
    batch_size=16,
    log_every=2,
    checkpoint_every=2,
    evaluate_every=4,
    steps_per_call=3,
    fusion_every=2,
    fusion_steps=5,
    fusion_gain="reward",
    balance="running_magnitude",
    weight_decay=0.1,
    ema_decay=0.8,
    progress=False,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    splits = {
        "train": random_requests(SCHEMA, 100, seed=1),
        "validation": random_requests(SCHEMA, 60, seed=2),
    }
    folder = tmp_path_factory.mktemp("shop") / "data"
    write_dataset(folder, SCHEMA, splits)
    return folder


@pytest.fixture(scope="module")
def batch(data):
    return next(iter(read_batches(data, "train", 16, reward=True)))


def _train(data, workdir, model=SMALL, config=CONFIG):
    keras.utils.set_random_seed(config.seed)
    ranker = JDRanker(SCHEMA, model)
    return train_folder(ranker, data, workdir, config)


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    return _train(data, tmp_path_factory.mktemp("whole") / "run")


def _steps():
    keras.utils.set_random_seed(4)
    model = JDRanker(SCHEMA, SMALL)
    return build_main_step(CONFIG, model), build_fusion(CONFIG, model)


def _values(variables):
    return {name: np.array(v.numpy()) for name, v in variables.items()}


def _weights(model):
    return _values(model_variables(model))


def _main(values):
    return {n: v for n, v in values.items() if not n.startswith("score_head/")}


# Apart ---------------------------------------------------------------------


def test_a_step_leaves_the_other_part_the_same_to_the_last_bit(batch):
    main_and_fusion = _steps()
    parts = variable_partition(*main_and_fusion)
    steps = [tf.function(step, autograph=False) for step in main_and_fusion]
    for _ in range(3):
        for step, mine, theirs in zip(steps, parts, parts[::-1], strict=True):
            before = _values(mine), _values(theirs)
            step(batch)
            assert changed(mine, before[0])
            assert not changed(theirs, before[1])
    names = [*parts[0], *parts[1]]
    for part in ("table", "seed_generator_state", "calibration/knots",
                 "optimizer/iteration", "balancer/"):  # fmt: skip
        assert any(part in name for name in parts[0]), part
    assert len({id(v) for part in parts for v in part.values()}) == len(names)


def test_the_check_passes_for_the_ranker(batch):
    main_changes, fusion_changes = check_isolation(*_steps(), batch)
    assert any(name.endswith("/table") for name in main_changes)
    assert any("score_head/fusion" in name for name in fusion_changes)


def test_a_ranker_without_stop_gradients_is_found(batch, monkeypatch):
    steps = _steps()
    monkeypatch.setattr(keras.ops, "stop_gradient", lambda tensor: tensor)
    with pytest.raises(IsolationError, match="a stop_gradient is missing"):
        check_isolation(*steps, batch)
    leaks = gradient_leaks(*steps, batch)
    assert any(name.endswith("/table") for name in leaks)


def test_training_with_a_leak_does_not_start(data, tmp_path, monkeypatch):
    monkeypatch.setattr(keras.ops, "stop_gradient", lambda tensor: tensor)
    with pytest.raises(IsolationError):
        _train(data, tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoints").exists()


# Runs ----------------------------------------------------------------------


@pytest.mark.slow
def test_the_main_network_is_the_same_with_and_without_fusion(
    data, tmp_path, whole
):
    """So are logits, and with them every objective's AUC."""
    plain = _train(data, tmp_path / "plain", PLAIN)
    one, other = _weights(whole.step_fn.model), _weights(plain.step_fn.model)
    assert _main(one).keys() == other.keys()
    for name, value in other.items():
        np.testing.assert_array_equal(one[name], value, name)
    for batch in read_batches(data, "validation", 16):
        np.testing.assert_array_equal(
            whole.step_fn.model(batch)["logits"],
            plain.step_fn.model(batch)["logits"],
        )
    rows = [
        [
            {k: v for k, v in row.items() if k.startswith(("loss", "valid"))}
            for row in trainer.state.history
        ]
        for trainer in (whole, plain)
    ]
    assert rows[0] == rows[1]


def test_what_was_learned_is_reported_and_kept(data, whole):
    rows = [row for row in whole.state.history if "fusion_loss" in row]
    assert len(rows) == 4
    for row in rows[:3]:
        used, skipped = (
            row[f"fusion_requests_{n}"] for n in ("used", "skipped")
        )
        # One fusion step to two main ones.
        assert used + skipped == 16
        assert used > skipped
        assert row["fusion_weight/order"] == pytest.approx(1 / 3, abs=0.02)
    # The last row covers the one main step after which none was due.
    assert rows[3]["fusion_loss"] is None
    stage = Checkpoints(whole.workdir / POST_TRAINING)
    state = stage.read_state(stage.steps()[-1])
    assert (state["step"], state["main_step"]) == (5, 7)
    assert [row["step"] for row in state["history"]] == [9, 11, 12]
    assert all(c["num_knots"] for c in state["curves"].values())
    assert all(0 < c["held_out_ratio"] < 9 for c in state["curves"].values())
    loaded = load_trained(whole.workdir)
    curves = loaded.calibration
    assert np.abs(curves.shifts.numpy()).max() > 0
    batch = next(iter(read_batches(data, "validation", 8)))
    one, other = loaded(batch), whole.step_fn.model(batch)
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], name)


@pytest.mark.slow
def test_a_killed_run_is_an_uninterrupted_one(
    data, tmp_path, whole, monkeypatch
):
    """Killed right after its first, third ... checkpoint, in either stage."""
    write, count = Checkpoints.write, 0

    class Killed(BaseException):
        """Nobody catches it."""

    def write_and_die(self, *args):
        nonlocal count
        path = write(self, *args)
        count -= 1
        if not count:
            raise Killed
        return path

    monkeypatch.setattr(Checkpoints, "write", write_and_die)
    workdir, stages = tmp_path / "killed", []
    for writes in (1, 2, 3):
        count = writes
        with pytest.raises(Killed):
            _train(data, workdir)
        stages.append((workdir / POST_TRAINING).exists())
    assert stages == [False, False, True]
    monkeypatch.setattr(Checkpoints, "write", write)
    ended = _train(data, workdir)
    one, other = _weights(ended.step_fn.model), _weights(whole.step_fn.model)
    for name, value in other.items():
        np.testing.assert_array_equal(one[name], value, name)
    for trainer in (ended, whole):
        named = trainer.step_fn.fusion.named_variables()
        trainer.slots = _values(named)
    for name, value in whole.slots.items():
        np.testing.assert_array_equal(ended.slots[name], value, name)
    rows = [
        [
            {k: v for k, v in row.items() if k.startswith(("step", "fusion"))}
            for row in Checkpoints(workdir / POST_TRAINING).read_state(5)[
                "history"
            ]
        ]
        for workdir in (ended.workdir, whole.workdir)
    ]
    assert rows[0] == rows[1]


@pytest.mark.slow
def test_fusion_only_after_the_main_training(data, tmp_path, whole):
    config = dataclasses.replace(CONFIG, fusion_every=0, fusion_steps=0)
    after = _train(data, tmp_path / "after", config=config)
    assert not any("fusion_loss" in row for row in after.state.history)
    stage = Checkpoints(after.workdir / POST_TRAINING)
    # One pass over the data.
    assert stage.steps() == [7]
    one, other = _weights(after.step_fn.model), _weights(whole.step_fn.model)
    for name, value in _main(one).items():
        np.testing.assert_array_equal(value, other[name], name)
    fusion = "score_head/fusion/gate/kernel"
    assert np.abs(one[fusion]).max() > 0
    assert not np.array_equal(one[fusion], other[fusion])
    # More of the main training makes curves and fusion anew.
    more = dataclasses.replace(config, epochs=2)
    longer = _train(data, after.workdir, config=more)
    assert stage.read_state(stage.steps()[-1])["main_step"] == 14
    assert longer.state.step == 14


# Settings ------------------------------------------------------------------


def test_fusion_steps_after_the_main_training():
    def steps(calibrates=True, **changes):
        config = dataclasses.replace(TrainingConfig(), **changes)
        return num_fusion_steps(config, 95, calibrates)

    assert steps() == 10
    assert steps(calibrates=False) == 0
    assert steps(calibrates=False, ema_decay=0.9) == 10
    assert steps(fusion_every=0) == 95
    assert steps(fusion_steps=3) == 3


def test_a_loss_that_the_schema_cannot_feed_is_refused():
    model = JDRanker(small_schema(), SMALL)
    with pytest.raises(DataError, match="no column `reward`"):
        build_fusion(CONFIG, model)
    config = TrainingConfig(fusion_values=(1.0, 2.0))
    with pytest.raises(DataError, match=r"`fusion_values` must be 3 .*order"):
        build_fusion(config, model)
    config = TrainingConfig(fusion_request_weights="gain")
    assert build_fusion(config, model).loss.request_weights == "gain"
    fixed = replace_fields(SMALL, {"fusion": "fixed"})
    assert build_fusion(CONFIG, JDRanker(small_schema(), fixed)) is None
