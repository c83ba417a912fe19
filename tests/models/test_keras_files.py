"""`.keras` files in a process that has imported nothing of the package."""

import json
import subprocess
import sys

import pytest

from jd_tf.losses import MultiObjectiveLoss
from jd_tf.models import PooledMMoE
from jd_tf.training import SparseDenseOptimizer
from tests.layers.harness import ROOT
from tests.requests import small_schema

# Loads, imports the module that the message names, and loads again; then as
# a user would who wants to go on training.
_PROGRAM = """
import importlib, json, keras, re, sys
load, path = keras.saving.load_model, sys.argv[1]
try:
    load(path, compile=False)
except TypeError as error:
    message = str(error)
named = re.search(r"'module': '(jd_tf[.\\w]+)'", message)[1]
importlib.import_module(named)
before = load(path, compile=False).count_params()
import jd_tf
model = jd_tf.load_model(path)
print(json.dumps([message, named, before, type(model.optimizer).__name__]))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "model.keras"
    model = PooledMMoE(small_schema())
    loss = {"logits": MultiObjectiveLoss()}
    model.compile(SparseDenseOptimizer(), loss=loss, jit_compile=False)
    model.save(path)
    ran = subprocess.run(
        [sys.executable, "-c", _PROGRAM, path],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    return model.count_params(), json.loads(ran.stdout)


def test_the_message_names_what_to_import(found):
    num_weights, (message, named, loaded, _) = found
    assert message.startswith("Could not locate class 'PooledMMoE'")
    assert named == PooledMMoE.__module__
    assert loaded == num_weights


def test_load_model_knows_losses_and_optimizers(found):
    assert found[1][3] == "SparseDenseOptimizer"
