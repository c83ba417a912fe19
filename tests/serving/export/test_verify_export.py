"""Every error of a version folder is a line of its own."""

import itertools
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from jd_tf.images.image_tower import ImageTower
from jd_tf.serving.export import exporting
from jd_tf.serving.export.image_export import export_image_tower
from jd_tf.serving.export.recordings import (
    WARMUP_FILE,
    read_recordings,
    write_recordings,
)
from jd_tf.serving.export.verification.verify import verify, verify_export

BATCHING = "batching_params.pbtxt"


@pytest.fixture(name="copy")
def _copy(tiny, tmp_path):
    folder = shutil.copytree(tiny, tmp_path / "1")
    # Its list of files would be one more error of every change.
    card = json.loads((folder / "model_card.json").read_text())
    card["files"] = {}
    (folder / "model_card.json").write_text(json.dumps(card))
    return folder


def change_graph(folder, change):
    path = folder / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    change(saved.meta_graphs[0])
    path.write_bytes(saved.SerializeToString())


def test_a_sound_version_has_no_errors(tiny, copy):
    assert verify_export(tiny) == []
    assert verify_export(copy) == []


def test_all_errors_are_reported_at_once(tiny, tmp_path):
    folder = shutil.copytree(tiny, tmp_path / "3.tmp")
    (folder / BATCHING).unlink()
    (folder / "model_card.md").write_text("files after the card may change")
    with (folder / "assets.extra" / "schema.json").open("a") as file:
        file.write("x")
    found = verify_export(folder)
    expected = (
        "ignores this one",
        "truncated or changed",
        "batching_params.pbtxt: missing",
        "would not batch",
        "schema.json",
    )
    for words, line in zip(expected, found, strict=True):
        assert words in line
    assert all("\n" not in line for line in found)


def test_graphs_a_server_cannot_run_are_reported_op_by_op(copy):
    def spoil(graph):
        nodes = graph.graph_def.library.function[0].node_def
        nodes.add(name="x", op="ScannSearch")
        nodes.add(name="y", op="PyFunc")
        output = graph.signature_def["serving_default"].outputs["score"]
        output.tensor_shape.dim[0].size = 3

    change_graph(copy, spoil)
    found = verify_export(copy)
    assert len(found) == 3
    assert "PyFunc runs Python" in found[0]
    assert "ScannSearch is no op of TensorFlow itself" in found[1]
    assert "dimension 0 of `score` (outputs) must be B" in found[2]


def test_missing_parts_of_the_variables_are_reported(copy):
    shard = copy / "variables" / "variables.data-00000-of-00001"
    shard.rename(shard.with_name("variables.data-00001-of-00002"))
    found = verify_export(copy)
    assert any("part 0 of 2 of the variables is missing" in f for f in found)
    shutil.rmtree(copy / "variables")
    assert [f for f in verify_export(copy) if "has no variables" in f]


def test_calls_that_warm_up_too_little_are_reported(copy):
    def of(*recordings):
        write_recordings(copy / WARMUP_FILE, recordings, "tiny")
        return verify_export(copy)

    recordings = list(read_recordings(copy / WARMUP_FILE))
    some = [r for r in recordings if r.signature != "explain"]
    assert of(*some) == [f"{WARMUP_FILE}: no call of signature `explain`."]
    few = [
        r
        for r in recordings
        if len(next(iter(r.inputs.values()))) < 8 or r.signature == "explain"
    ]
    found = of(*few)
    assert len(found) == 4
    assert all("not warmed up for batches of 8, 16" in line for line in found)
    assert "no calls" in of()[0]


def test_widths_that_are_not_warmed_up_are_reported(copy):
    path = copy / "assets.extra" / "schema.json"
    schema = json.loads(path.read_text())
    schema["max_candidates"] = 60
    path.write_text(json.dumps(schema))
    found = verify_export(copy)
    assert len(found) == 2
    assert all("not warmed up for 16, 32, 60 candidates" in f for f in found)


def test_unknown_signatures_and_formats_are_reported(copy):
    recordings = list(read_recordings(copy / WARMUP_FILE))
    other = type(recordings[0])("rank_items", recordings[0].inputs, {})
    write_recordings(copy / WARMUP_FILE, [*recordings, other], "tiny")
    assert "`rank_items`, which does not exist" in verify_export(copy)[0]
    options = tf.io.TFRecordOptions(compression_type="GZIP")
    with tf.io.TFRecordWriter(str(copy / WARMUP_FILE), options) as writer:
        writer.write(b"compressed")
    assert "record 0" in verify_export(copy)[0]


def test_more_calls_than_a_server_takes_are_reported(copy):
    content = (copy / WARMUP_FILE).read_bytes()
    smallest = next(iter(tf.data.TFRecordDataset(str(copy / WARMUP_FILE))))
    with tf.io.TFRecordWriter(str(copy / "many")) as writer:
        for _ in range(1001):
            writer.write(smallest.numpy())
    (copy / WARMUP_FILE).write_bytes((copy / "many").read_bytes() + content)
    found = verify_export(copy)
    assert any("more than 1000" in line for line in found)


def test_other_answers_are_reported_by_signature(copy):
    recordings = list(read_recordings(copy / WARMUP_FILE))
    for recording in recordings:
        for name in ("score", "attention_click"):
            if name in recording.outputs:
                recording.outputs[name] += np.float32(1e-3)
    write_recordings(copy / WARMUP_FILE, recordings, "tiny")
    found = verify_export(copy)
    for name in ("serving_default", "rank_candidates", "explain"):
        assert any(f"`{name}` and the live model" in line for line in found)
    assert not any("encode_user` and" in line for line in found)
    assert verify_export(copy, tolerance=0.5) == []


def test_the_tolerance_is_the_exports_own(copy):
    recordings = list(read_recordings(copy / WARMUP_FILE))
    for recording in recordings:
        if "score" in recording.outputs:
            recording.outputs["score"][:, 0] *= np.float32(1.001)
    write_recordings(copy / WARMUP_FILE, recordings, "tiny")
    assert verify_export(copy)
    card = json.loads((copy / "model_card.json").read_text())
    card["verification"]["tolerance"] = 0.01
    (copy / "model_card.json").write_text(json.dumps(card))
    assert verify_export(copy) == []


def test_what_is_no_version_is_reported(tmp_path):
    assert verify_export(tmp_path / "7") == [
        f"{tmp_path / '7'}: no such folder."
    ]
    (tmp_path / "8").mkdir()
    assert verify_export(tmp_path / "8") == [
        f"{tmp_path / '8' / 'saved_model.pb'}: no such file; not a whole "
        "SavedModel."
    ]


def test_image_towers_are_verified_too(tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "verify_elsewhere", verify)
    tower = ImageTower(
        {"backbone": "small_cnn", "image_size": 16, "alpha": 0.25},
        ("hat", "shoe"),
    )
    folder = export_image_tower(tower, tmp_path)
    assert verify_export(folder) == []
    (folder / "model_card.json").unlink()
    recordings = list(read_recordings(folder / WARMUP_FILE))
    alone = list(itertools.islice(recordings, 1))
    write_recordings(folder / WARMUP_FILE, alone, "image_tower")
    found = verify_export(folder)
    assert "not warmed up for batches of 2, 4, 8, 16" in found[0]
    assert "no call of signature `classify`" in found[1]
