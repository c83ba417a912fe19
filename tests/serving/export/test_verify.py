"""Broken SavedModels are refused with one clear error."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from jd_tf.serving.errors import ExportError
from jd_tf.serving.export.loading import LoadedModel
from jd_tf.serving.export.recordings import (
    WARMUP_FILE,
    Recording,
    read_recordings,
    write_recordings,
)
from jd_tf.serving.export.verification.folder_check import (
    batching_errors,
    count_ops,
    read_graph,
    refused_ops,
)
from jd_tf.serving.export.verification.verify import verify
from jd_tf.serving.protos.messages import signature_table

VARIABLES = "variables/variables.data-00000-of-00001"


@pytest.fixture
def copy(tiny, tmp_path):
    return shutil.copytree(tiny, tmp_path / "1")


def without_card(folder):
    (folder / "model_card.json").unlink()
    return folder


def cut(path, share=0.5):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def test_verify_needs_no_code_of_a_model(tiny):
    program = (
        "import sys\n"
        "from jd_tf.serving.export.verification import verify\n"
        "code = verify.main(sys.argv[1:])\n"
        "own = [m for m in sys.modules if m.startswith('jd_tf.')]\n"
        "found = {m.split('.')[1] for m in own}\n"
        "assert found <= {'lazy', 'columns', 'schema', 'data', 'serving'}\n"
        "sys.exit(code)\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program, str(tiny)],
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    report = json.loads(finished.stdout.splitlines()[-1])
    assert report["num_recordings"] == 25  # five buckets of five signatures
    differences = report["max_relative_difference"]
    assert differences["invariants"] < 1e-4
    assert max(differences[name] for name in report["signatures"]) < 1e-5


@pytest.mark.parametrize("card", [True, False])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
@pytest.mark.parametrize("name", [VARIABLES, "saved_model.pb"])
def test_cut_files_are_one_clear_error(copy, card, share, name):
    cut(copy / name, share)
    if not card:
        without_card(copy)
    with pytest.raises(ExportError) as caught:
        LoadedModel(copy)
    message = str(caught.value)
    assert str(copy) in message
    assert "\n" not in message
    assert ("says" if card else "xport") in message


def test_missing_variables_are_reported(copy):
    shutil.rmtree(without_card(copy) / "variables")
    with pytest.raises(ExportError, match="has no variables"):
        LoadedModel(copy)


def test_flipped_bytes_are_reported(copy):
    path = copy / VARIABLES
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ExportError, match="cannot be loaded"):
        LoadedModel(copy)


def test_other_answers_are_refused(copy):
    recordings = list(read_recordings(without_card(copy) / WARMUP_FILE))
    recordings[0].outputs["probabilities"][0, 0, 0] += 1e-4
    write_recordings(copy / WARMUP_FILE, recordings, "jd_ranker")
    with pytest.raises(ExportError, match="`probabilities` differs by"):
        verify(copy)
    assert verify(copy, tolerance=0.01)["tolerance"] == 0.01


def test_signatures_must_be_the_schemas(copy):
    path = without_card(copy) / "assets.extra" / "schema.json"
    schema = json.loads(path.read_text())
    schema["item_columns"][0]["dtype"] = "string"
    path.write_text(json.dumps(schema))
    with pytest.raises(ExportError, match="input `item_id`"):
        verify(copy)


def save(folder, function, *specs):
    module = tf.Module()
    module.variable = tf.Variable(1.0)
    traced = tf.function(function).get_concrete_function(*specs)
    tf.saved_model.save(module, str(folder), {"serving_default": traced})
    return read_graph(folder)


BATCH = tf.TensorSpec((None, 2), tf.float32, "values")


def test_ops_are_counted_in_functions_too(tmp_path):
    @tf.function
    def inner(values):
        return tf.tanh(values)

    def function(values):
        return {"out": inner(values)}

    counts = count_ops(save(tmp_path, function, BATCH))
    assert counts["Tanh"] >= 1
    assert list(counts.values()) == sorted(counts.values(), reverse=True)


def test_python_is_refused(tmp_path):
    def function(values):
        return {"out": tf.numpy_function(np.tanh, [values], tf.float32)}

    refused = refused_ops(save(tmp_path, function, BATCH))
    assert refused == {"PyFunc": "runs Python"}


def test_xla_functions_are_refused(tmp_path):
    @tf.function(jit_compile=True)
    def compiled(values):
        return tf.tanh(values)

    graph = save(tmp_path, lambda values: {"out": compiled(values)}, BATCH)
    assert "is compiled by XLA" in refused_ops(graph).values()


def test_unknown_ops_are_refused(tiny):
    graph = read_graph(tiny)
    graph.graph_def.library.function[0].node_def.add(name="x", op="ScannSearch")
    reason = "is no op of TensorFlow itself"
    assert refused_ops(graph) == {"ScannSearch": reason}


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda values: {"out": tf.reduce_sum(values)}, "out"),
        (lambda values: {"out": tf.ones((3, 2))}, "out"),
    ],
)
def test_outputs_without_b_are_refused(tmp_path, function, name):
    table = signature_table(save(tmp_path, function, BATCH))
    (error,) = batching_errors(table)
    assert f"`{name}` (outputs) must be B" in error


def test_inputs_without_b_are_refused(tmp_path):
    spec = tf.TensorSpec((), tf.float32, "k")
    table = signature_table(save(tmp_path, lambda k: {"out": k}, spec))
    errors = list(batching_errors(table))
    assert "`k` (inputs) must be B" in errors[0]


def test_recordings_come_back(tmp_path):
    inputs = {
        "ids": np.array([[1, 2]]),
        "texts": np.array([b"a\0", b"", "é".encode()], object),
        "empty": np.zeros((2, 0, 3), "float32"),
    }
    outputs = {"score": np.array([[0.5]], "float32")}
    path = tmp_path / "assets.extra" / "calls"
    calls = [Recording("serving_default", inputs, outputs)] * 3
    assert write_recordings(path, calls, "m") == 3
    read = list(read_recordings(path))
    assert len(read) == 3
    for mine, theirs in ((inputs, read[2].inputs), (outputs, read[2].outputs)):
        assert set(mine) == set(theirs)
        for name, array in mine.items():
            assert theirs[name].dtype == array.dtype
            np.testing.assert_array_equal(theirs[name], array)


def test_too_many_recordings_are_refused(tmp_path):
    calls = [Recording("serving_default", {}, {})] * 1001
    with pytest.raises(ExportError, match="1000 at most"):
        write_recordings(tmp_path / "calls", calls, "m")


def test_cut_recordings_are_reported(tmp_path):
    path = tmp_path / "calls"
    write_recordings(path, [Recording("a", {"x": np.ones(9)}, {})] * 2, "m")
    cut(path, 0.8)
    with pytest.raises(ExportError, match="record 1"):
        list(read_recordings(path))
