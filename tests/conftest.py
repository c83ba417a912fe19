"""Fixtures shared by all tests."""

import os
import random
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Before TensorFlow loads, and before a program sets it for processes that a
# test starts: both must compute by the same kernels. And by these, as those
# of oneDNN add in another order now and then when the machine is busy.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
# Workers beside each other have a core each; more threads would swap.
if "PYTEST_XDIST_WORKER" in os.environ:
    for name in ("TF_NUM_INTRAOP", "TF_NUM_INTEROP", "OMP_NUM"):
        os.environ.setdefault(f"{name}_THREADS", "1")

import keras
import pytest
import tensorflow as tf
from tensorflow.python.eager import context

ROOT = Path(__file__).resolve().parents[1]


def _set_seed(seed: int) -> None:
    context.context()._seed = seed
    context.context()._rng = random.Random(seed)


# TensorFlow's own forgets the kernels of all operations as well, so that no
# eager random operation goes on where it was. There is none here, and making
# kernels anew for every test takes half of the time.
tf.random.set_seed = _set_seed


# Servers, programs and training runs in processes of their own.
PROCESSES = (
    "experiments",
    "images/test_fine_tuning.py",
    "pipeline/test_retrieval_",
    "serving/client/against_server",
    "serving/deploy",
    "serving/export/test_verify",
    "serving/export/test_versions.py",
    "test_wheel.py",
    "training/fusion/test_ranker_fusion.py",
    "training/loop/test_kill.py",
    "training/test_train.py",
    "training/test_user_model.py",
)


def pytest_collection_modifyitems(items):
    """Marks tests that start processes, for `make test-fast`."""
    here = Path(__file__).parent
    for item in items:
        name = str(item.path.relative_to(here))
        if name.startswith(PROCESSES):
            item.add_marker(pytest.mark.process)


@pytest.fixture(autouse=True)
def _seeded():
    keras.utils.set_random_seed(20)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data sets, or a skip that says how to get it."""
    named = os.environ.get("JD_TF_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(
            f"no real data at {folder}: set JD_TF_DATA to a folder that holds "
            "jd_micro_behaviors/, jdata2016/ and jd_ranking_examples/"
        )
    return folder
