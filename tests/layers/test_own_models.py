"""Every layer in a user's own model: files, fresh processes, `export`."""

import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import tree

from jd_tf.layers import IdEmbedding
from tests.cases import CASES
from tests.layers import harness
from tests.layers.own_models import OwnModel, flat_outputs

every_layer = pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)


def _own(case):
    keras.utils.set_random_seed(8)
    model = OwnModel(case.name)
    model(harness.tensors(case))
    if case.prepare is not None:
        case.prepare(model.inner)
    return model


@pytest.fixture(scope="module")
def reloaded(tmp_path_factory):
    """Outputs before, and those of the files in a process of their own."""
    folder = tmp_path_factory.mktemp("models")
    before = {}
    for case in CASES:
        own = _own(case)
        functional = harness.functional(case, harness.make(case))
        for name, model in (("", own), ("functional.", functional)):
            model.save(folder / f"{name}{case.name}.keras")
            before[name + case.name] = flat_outputs(model, case)
    subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-m",
            "tests.layers.own_models",
            folder,
        ],
        check=True,
        cwd=harness.ROOT,
    )
    return before, folder


@every_layer
@pytest.mark.parametrize("kind", ["", "functional."])
def test_a_fresh_process_loads_the_same_model(case, kind, reloaded):
    before, folder = reloaded
    with np.load(folder / f"{kind}{case.name}.npz") as after:
        harness.assert_same(list(after.values()), before[kind + case.name], 0)


@every_layer
def test_export_with_a_signature_serves_the_same(case, tmp_path):
    model, values = _own(case), harness.tensors(case)
    signature = tree.map_structure(
        lambda v: tf.TensorSpec((None, *v.shape[1:]), v.dtype), values
    )
    model.export(tmp_path / "own", input_signature=[signature], verbose=False)
    loaded = tf.saved_model.load(tmp_path / "own")
    served = [np.asarray(part) for part in tree.flatten(loaded.serve(values))]
    harness.assert_same(served, flat_outputs(model, case))


@pytest.mark.slow
@every_layer
def test_functional_models_export_with_their_own_types(case, tmp_path):
    model = harness.functional(case, harness.make(case))
    model.export(tmp_path / "own", verbose=False)
    values = harness.tensors(case)
    loaded = tf.saved_model.load(tmp_path / "own")
    served = [np.asarray(part) for part in tree.flatten(loaded.serve(values))]
    harness.assert_same(served, flat_outputs(model, case))


@pytest.mark.parametrize("settings", [{"num_buckets": 9}, {"vocabulary": (7,)}])
def test_export_without_a_signature_refuses_what_floats_lose(
    settings, tmp_path
):
    class Ids(keras.Model):
        def __init__(self):
            super().__init__()
            self.ids = IdEmbedding(3, **settings)

        def call(self, ids):
            return self.ids(ids)

    model = Ids()
    known = np.array([[0, 7], [16_777_215, 8]])
    expected = model(known).numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.export(tmp_path / "own", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "own")
    np.testing.assert_allclose(
        loaded.serve(tf.cast(known, tf.float32)), expected, rtol=1e-6
    )
    for wrong in (2.0**24, -(2.0**24), 7.5, np.nan, np.inf):
        with pytest.raises(
            tf.errors.InvalidArgumentError, match="`input_signature`"
        ):
            loaded.serve(tf.constant([[7.0, wrong]]))
