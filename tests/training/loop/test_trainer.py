"""The trainer: history, checkpoints and stops, and that `fit` agrees."""

import json
import math
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from jd_tf.losses.multi_objective import MultiObjectiveLoss, labels_and_weights
from jd_tf.schema import DataError, IdColumn
from jd_tf.training.build_from_config import build_optimizer, build_trainer
from jd_tf.training.config import TrainingConfig
from jd_tf.training.loop.trainer import NotFiniteError
from jd_tf.training.named_variables import model_variables
from jd_tf.training.workdir import load_trained
from tests.training.toy import (
    BATCH,
    NAMES,
    STEPS_PER_EPOCH,
    ToyRanker,
    toy_batches,
    toy_schema,
)

CONFIG = TrainingConfig(
    learning_rate=0.02,
    table_learning_rate=0.2,
    steps_per_call=4,
    log_every=1,
    progress=False,
)


def _config(**changes):
    return TrainingConfig(**{**vars(CONFIG), **changes})


def _trainer(
    workdir, validate=None, batches=toy_batches, model=None, **changes
):
    model = model or ToyRanker()
    return build_trainer(_config(**changes), model, workdir, batches, validate)


def _scripted(values, name="auc"):
    """A validation that returns given values."""
    remaining = iter(values)
    return lambda: {name: next(remaining)}


def _weights(model):
    return {k: v.numpy() for k, v in model_variables(model).items()}


def test_loop_and_fit_have_the_same_loss_curve(tmp_path):
    model, twin = ToyRanker(), ToyRanker()
    # The random state of dropout is part of where they start.
    named = model_variables(twin)
    for name, variable in model_variables(model).items():
        named[name].assign(variable)
    history = _trainer(tmp_path, model=model, objective_weights=(1, 3)).train()
    ours = [row["loss"] for row in history]

    theirs = []

    class _Losses(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            theirs.append(float(logs["loss"]))
            self.model.reset_metrics()

    twin.compile(
        build_optimizer(CONFIG),
        {"logits": MultiObjectiveLoss((1.0, 3.0))},
        jit_compile=False,
    )
    twin.fit(
        toy_batches().map(labels_and_weights),
        callbacks=[_Losses()],
        verbose=0,
        shuffle=False,
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    assert len(ours) == STEPS_PER_EPOCH
    assert np.mean(ours[-5:]) < np.mean(ours[:5])


def test_history_reports_what_happened(tmp_path):
    trainer = _trainer(
        tmp_path, _scripted([0.6] * 9), monitor="auc", epochs=2, log_every=10
    )
    history = trainer.train()
    steps = [row for row in history if "loss" in row]
    evaluations = [row for row in history if "validation/auc" in row]
    assert [row["step"] for row in steps] == [10, 20, 30, 40]
    assert [row["step"] for row in evaluations] == [20, 40]
    for row in steps:
        assert row["loss"] == pytest.approx(
            sum(row[f"loss/{name}"] for name in NAMES)
        )
        assert row["gradient_norm"] > 0
        for share in ("loss_share", "gradient_share"):
            shares = [row[f"{share}/{name}"] for name in NAMES]
            assert min(shares) > 0
            assert sum(shares) == pytest.approx(1)
        assert 0 <= row["input_wait_share"] <= 1
        assert row["learning_rate"] == pytest.approx(0.02)
    assert trainer.stopped_by == "epochs"
    real = sum(
        int(batch["num_candidates"].sum())
        for epoch in range(2)
        for batch in toy_batches(epoch).as_numpy_iterator()
    )
    assert trainer.state.impressions == real
    assert real < 2 * STEPS_PER_EPOCH * BATCH * 4
    json.dumps(history, allow_nan=False)


def test_curves_are_written_for_tensorboard(tmp_path):
    _trainer(
        tmp_path, _scripted([0.5]), monitor="auc", max_steps=4, log_every=2
    ).train()
    (events,) = (tmp_path / "summaries").iterdir()
    tags = {
        (value.tag, event.step)
        for event in tf.compat.v1.train.summary_iterator(str(events))
        for value in event.summary.value
    }
    assert {("loss/click", 2), ("gradient_norm", 4), ("learning_rate", 4),
            ("validation/auc", 4)} <= tags  # fmt: skip


def test_patience_stops_and_the_best_weights_come_back(tmp_path):
    seen = []
    # The second is worse, but an improvement in between starts anew.
    values = iter([0.6, 0.5, 0.7, 0.6, 0.65, 0.9])
    model = ToyRanker()

    def validate():
        seen.append(_weights(model))
        return {"auc": next(values)}

    trainer = _trainer(
        tmp_path,
        validate,
        model=model,
        epochs=9,
        evaluate_every=6,
        monitor="auc",
        patience=2,
    )
    trainer.train()
    assert trainer.stopped_by == "patience"
    assert trainer.state.step == 30
    assert trainer.state.best_step == 18
    for name, value in _weights(model).items():
        np.testing.assert_array_equal(value, seen[2][name])
    assert trainer.checkpoints.steps() == [18, 30]
    loaded = load_trained(tmp_path)
    for name, value in _weights(loaded).items():
        np.testing.assert_array_equal(value, seen[2][name])
    last = load_trained(tmp_path, best=False)
    for name, value in _weights(last).items():
        np.testing.assert_array_equal(value, seen[4][name])


def test_a_lower_loss_is_better(tmp_path):
    trainer = _trainer(
        tmp_path,
        _scripted([0.5, 0.3, 0.4], "loss/click"),
        monitor="loss/click",
        epochs=3,
    )
    trainer.train()
    assert trainer.state.best_step == 2 * STEPS_PER_EPOCH


def test_undefined_metric_is_never_the_best(tmp_path):
    trainer = _trainer(
        tmp_path, _scripted([None, 0.1]), monitor="auc", epochs=2
    )
    trainer.train()
    assert trainer.state.best_value == 0.1


@pytest.mark.parametrize("steps_per_call", [1, 3, 50])
def test_steps_per_call_changes_no_number(tmp_path, steps_per_call):
    found = _trainer(tmp_path / "a", steps_per_call=steps_per_call).train()
    keras.utils.set_random_seed(20)
    wanted = _trainer(tmp_path / "b", steps_per_call=7).train()
    assert [r["loss"] for r in found] == [r["loss"] for r in wanted]


@pytest.mark.slow
@pytest.mark.parametrize("balance", ["fixed", "uncertainty", "grad_norm"])
def test_more_epochs_go_on_as_if_asked_for_at_once(tmp_path, balance):
    _trainer(tmp_path / "two", balance=balance).train()
    again = _trainer(tmp_path / "two", epochs=2, balance=balance)
    history = again.train()
    keras.utils.set_random_seed(20)
    whole = _trainer(tmp_path / "whole", epochs=2, balance=balance)
    assert [r["loss"] for r in whole.train()] == [r["loss"] for r in history]
    assert again.state.epoch == 2
    third = _trainer(tmp_path / "two", epochs=2, balance=balance)
    assert third.train() == history


def test_time_limit_ends_a_run(tmp_path):
    trainer = _trainer(tmp_path, epochs=10_000, time_limit_seconds=0.5)
    trainer.train()
    assert trainer.stopped_by == "time_limit"
    assert trainer.checkpoints.steps()[-1] == trainer.state.step


def _poisoned(column, value, at):
    def batches(epoch, skip):
        def spoil(step, batch):
            wanted = tf.cast(step + skip == at, tf.float32) * 1.0
            batch[column] = tf.where(wanted > 0, value, batch[column])
            return batch

        return toy_batches(epoch, skip).enumerate().map(spoil)

    return batches


@pytest.mark.parametrize("objective", range(len(NAMES)))
def test_nan_stops_and_names_the_objective(tmp_path, objective):
    labels = np.zeros(len(NAMES), "float32")
    labels[objective] = math.nan
    trainer = _trainer(
        tmp_path,
        batches=_poisoned("labels", labels, at=7),
        checkpoint_every=5,
        # In the middle of a call: the graph has to stop by itself.
        log_every=50,
        steps_per_call=20,
    )
    with pytest.raises(NotFiniteError) as caught:
        trainer.train()
    message = str(caught.value)
    assert f"step 8: the loss of objective `{NAMES[objective]}`" in message
    assert "step-000000005" in message
    assert trainer.checkpoints.steps() == [5]
    # And the checkpoint is good: the healthy data goes through.
    resumed = _trainer(tmp_path, checkpoint_every=5, log_every=50)
    resumed.train()
    assert resumed.state.step == STEPS_PER_EPOCH


def test_infinite_gradient_names_the_variable(tmp_path):
    @keras.saving.register_keras_serializable(package="jd_tf_tests")
    class _Steep(ToyRanker):
        def call(self, inputs, training=False):
            zero = tf.sqrt(tf.reduce_sum(self.head.kernel) * 0.0)
            logits = super().call(inputs, training)["logits"]
            return {"logits": logits + zero}

    model = _Steep(name="steep")
    with pytest.raises(NotFiniteError, match="gradient of `steep/head/kernel`"):
        _trainer(tmp_path, model=model).train()


def test_another_schema_is_refused_by_column(tmp_path):
    _trainer(tmp_path, max_steps=1).train()
    other = toy_schema(item_columns=(IdColumn("item_id", num_buckets=99),))
    with pytest.raises(DataError, match=r"item_id.*99.*50"):
        _trainer(tmp_path, model=ToyRanker(other)).train()


def test_another_model_or_rate_is_refused_by_field(tmp_path):
    _trainer(tmp_path, max_steps=1).train()
    with pytest.raises(DataError, match=r"dropout_rate = 0\.2.*0\.5"):
        _trainer(tmp_path, model=ToyRanker(dropout_rate=0.5)).train()
    with pytest.raises(DataError, match=r"learning_rate = 0\.02.*0\.5"):
        _trainer(tmp_path, learning_rate=0.5).train()


def test_no_data_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no batch"):
        _trainer(tmp_path, batches=lambda *_: toy_batches(steps=0)).train()


def test_a_metric_nobody_measures_is_an_error(tmp_path):
    trainer = _trainer(tmp_path, _scripted([0.5]), monitor="gauc")
    with pytest.raises(DataError, match=r"\['auc'\].*'gauc'"):
        trainer.train()


def test_a_folder_without_a_run_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"config\.json: missing"):
        load_trained(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": 0},
        {"learning_rate": -1.0},
        {"learning_rate": math.nan},
        {"balance": "equal"},
        {"table_method": "sgd"},
        {"balance_decay": 1.0},
    ],
)
def test_a_wrong_config_is_refused_by_field(changes):
    (name,) = changes
    with pytest.raises(DataError, match=name):
        TrainingConfig(**changes)


@pytest.mark.slow
def test_deterministic_operations_may_be_asked_for(tmp_path):
    """In a process of its own: it cannot be switched off again."""
    code = (
        "import sys, tensorflow as tf; "
        "tf.config.experimental.enable_op_determinism(); "
        "import keras; keras.utils.set_random_seed(20); "
        "from tests.training.loop.test_trainer import _trainer; "
        "trainer = _trainer(sys.argv[1], max_steps=3); "
        "rows = trainer.train(); "
        "assert [r['step'] for r in rows] == [1, 2, 3]; "
        "assert rows[0]['input_wait_share'] == 0"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        check=True,
        capture_output=True,
        cwd=Path(__file__).resolve().parents[3],
    )
