"""Training under half-precision policies."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from jd_tf.data.dataset import write_dataset
from jd_tf.models import PooledMMoE
from jd_tf.models.config_fields import replace_fields
from jd_tf.models.ranking.jd_ranker import JDRanker
from jd_tf.models.ranking.pooled_mmoe import PooledMMoEConfig
from jd_tf.schema import DataError, Objective
from jd_tf.training.build_from_config import (
    build_fusion,
    build_main_step,
    build_trainer,
)
from jd_tf.training.config import TrainingConfig
from jd_tf.training.folder_training import train_folder
from jd_tf.training.fusion.isolation_check import check_isolation
from jd_tf.training.loop.loss_scale import LossScale
from jd_tf.training.retrieval.train_retrieval import (
    retrieval_training_config,
    train_retrieval,
)
from jd_tf.training.train import train
from jd_tf.training.workdir import load_trained
from tests.experiments.programs import tiny_schema
from tests.models.test_jd_ranker import CONFIG, SCHEMA, batch_of
from tests.requests import random_requests
from tests.training.toy import ToyRanker, toy_batches

LEAN = tiny_schema(Objective("click"), Objective("order", 5.0))
HALF = ("mixed_float16", "mixed_bfloat16")
CONFIGS = {
    "epochs": 2,
    "batch_size": 16,
    "log_every": 1,
    "learning_rate": 0.01,
    "ema_decay": 0.9,
    "monitor": "loss",
    "progress": False,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("half") / "data"
    splits = {
        split: random_requests(LEAN, 32, seed=seed)
        for seed, split in enumerate(("train", "validation"))
    }
    write_dataset(folder, LEAN, splits)
    return folder


def _train(data, workdir, policy, **changes):
    config = TrainingConfig(**{**CONFIGS, **changes}, dtype_policy=policy)
    return train(data, workdir, "pooled_mmoe", PooledMMoEConfig(), config)


@pytest.fixture(scope="module")
def single(data, tmp_path_factory):
    return _train(data, tmp_path_factory.mktemp("single") / "run", "float32")


@pytest.mark.slow
@pytest.mark.parametrize("policy", HALF)
def test_it_learns_as_in_single_precision(data, single, tmp_path, policy):
    trainer = _train(data, tmp_path / "run", policy)
    model = trainer.step_fn.model
    assert model.compute_dtype == policy.removeprefix("mixed_")
    rows = [
        [row for row in t.state.history if "gradient_norm" in row]
        for t in (trainer, single)
    ]
    for mine, theirs in zip(*rows, strict=True):
        assert np.isfinite(mine["gradient_norm"])
        assert mine["loss"] == pytest.approx(theirs["loss"], rel=0.02)
    assert rows[0][-1]["loss"] != rows[1][-1]["loss"]
    # What is evaluated, exported and served is of single precision.
    loaded = load_trained(tmp_path / "run")
    assert loaded.compute_dtype == "float32"
    batch = batch_of(random_requests(LEAN, 4), LEAN)
    real = batch["item_id"] > 0
    scores = [m(batch)["score"].numpy()[real] for m in (loaded, model)]
    np.testing.assert_allclose(*scores, rtol=0.05)


def test_a_resumed_run_takes_the_same_steps(tmp_path):
    def run(folder, max_steps):
        keras.utils.set_random_seed(2)
        config = TrainingConfig(
            **{**CONFIGS, "monitor": "loss", "max_steps": max_steps},
            dtype_policy="mixed_float16",
        )
        model = ToyRanker(dtype="mixed_float16")
        trainer = build_trainer(config, model, folder, toy_batches)
        # So large that it is halved on the way.
        if not trainer.state.step:
            trainer.step_fn.loss_scale.value.assign(2.0**22)
        trainer.train()
        return trainer

    straight = run(tmp_path / "straight", 9)
    run(tmp_path / "run", 4)
    resumed = run(tmp_path / "run", 9)
    assert resumed.steps_taken == 5
    assert float(straight.step_fn.loss_scale.value) < 2.0**22
    mine, theirs = (t.step_fn.named_variables() for t in (resumed, straight))
    assert {"loss_scale/value", "loss_scale/steps"} <= mine.keys()
    for name, variable in mine.items():
        np.testing.assert_array_equal(variable, theirs[name], name)


def test_every_gradient_is_finite_and_parts_stay_apart():
    policy = HALF[0]
    keras.utils.set_random_seed(1)
    config = replace_fields(CONFIG, {"fusion": "personalized"})
    model = JDRanker(SCHEMA, config, dtype=policy)
    batch = batch_of(random_requests(SCHEMA, 6), SCHEMA)
    model.adapt([batch])
    training = TrainingConfig(balance="grad_norm", dtype_policy=policy)
    step = build_main_step(training, model)
    fusion = build_fusion(training, model)
    changed, _ = check_isolation(step, fusion, batch)
    assert len(changed) > 20
    row = step(batch)
    assert np.isfinite(row["gradient_norms"]).all()
    assert (row["task_gradient_norms"].numpy() > 0).all()
    assert row["task_gradient_norms"].dtype == tf.float32


def _half_step():
    keras.utils.set_random_seed(2)
    model = ToyRanker(dtype="mixed_float16")
    step = build_main_step(TrainingConfig(ema_decay=0.5), model)
    return step, {n: v.numpy() for n, v in step.named_variables().items()}


def test_a_step_that_overflows_is_skipped_and_the_scale_halved():
    step, before = _half_step()
    batch = next(iter(toy_batches()))
    step.loss_scale.value.assign(2.0**40)
    run = tf.function(step, autograph=False)
    row = run(batch)
    assert np.isfinite(row["gradient_norms"]).all()
    for name, variable in step.named_variables().items():
        if "loss_scale" not in name and "seed" not in name:
            np.testing.assert_array_equal(variable, before[name], name)
    assert float(step.loss_scale.value) == 2.0**39
    for _ in range(40):
        run(batch)
    assert step.optimizer.iterations.numpy() > 0
    assert 1.0 <= float(step.loss_scale.value) < 2.0**39


def test_the_scale_changes_no_gradient():
    found = []
    for scale in (2.0**6, 2.0**12):
        step, _ = _half_step()
        step.loss_scale.value.assign(scale)
        found.append(step(next(iter(toy_batches())))["gradient_norms"])
    np.testing.assert_allclose(*found, rtol=0.01)


def test_at_a_scale_of_1_the_numbers_themselves_are_wrong():
    scale = LossScale(ToyRanker(dtype="mixed_float16"))
    wrong = tf.constant([1.0, float("inf")])
    assert bool(scale.overflowed(wrong))
    scale.value.assign(1.0)
    assert not bool(scale.overflowed(wrong))


def test_the_scale_grows_after_2000_good_steps():
    scale = LossScale(ToyRanker(dtype="mixed_float16"))
    scale.named_variables()["loss_scale/steps"].assign(1998)
    scale.update(tf.constant(False))
    assert float(scale.value) == 2.0**15
    scale.update(tf.constant(False))
    assert float(scale.value) == 2.0**16
    scale.update(tf.constant(True))
    assert float(scale.value) == 2.0**15


def test_what_has_no_half_precision_says_so(data, tmp_path):
    config = TrainingConfig(**CONFIGS, dtype_policy=HALF[0])
    with pytest.raises(DataError, match="built with float32"):
        train_folder(PooledMMoE(LEAN), data, tmp_path / "run", config)
    config = retrieval_training_config(dtype_policy=HALF[1])
    with pytest.raises(DataError, match="`dtype_policy` float32"):
        train_retrieval(data, tmp_path / "run", {}, None, config)
    assert not (tmp_path / "run").exists()
