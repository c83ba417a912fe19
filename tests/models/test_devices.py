"""Models on several devices, and under other backends of Keras."""

import json
import os
import subprocess
import sys

import pytest
import tensorflow as tf

from jd_tf.schema import SchemaError
from jd_tf.training.build_from_config import build_trainer
from jd_tf.training.config import TrainingConfig
from tests.layers.harness import ROOT
from tests.training.toy import ToyRanker, toy_batches


def _python(*arguments, **environment):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_fit_on_two_devices_is_that_on_one():
    ran = _python("-m", "tests.models.two_devices")
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["losses"][1] < found["losses"][0]
    assert found["gap"] < 1e-3
    assert found["refused"].startswith("columns brand_id, ")


def test_the_trainer_refuses_a_model_of_a_strategy(tmp_path):
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        model = ToyRanker()
    with pytest.raises(SchemaError, match=r"one device.*`model.fit`"):
        build_trainer(
            TrainingConfig(progress=False), model, tmp_path / "run", toy_batches
        )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "package", ["layers", "losses", "models", "training", "images"]
)
def test_other_backends_are_one_line(package):
    ran = _python("-c", f"import jd_tf.{package}", KERAS_BACKEND="jax")
    assert ran.returncode == 1
    last = ran.stderr.splitlines()[-1]
    assert last.startswith("ImportError: jd_tf needs Keras on TensorFlow")
    assert "KERAS_BACKEND=tensorflow" in last
