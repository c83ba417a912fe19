"""A version folder is published whole and right, or not at all."""

import json
import re

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from jd_tf.models.config_fields import config_from_json
from jd_tf.models.ranking.jd_ranker import JDRankerConfig
from jd_tf.schema import Schema
from jd_tf.serving.errors import ExportError
from jd_tf.serving.export import exporting
from jd_tf.serving.export.exporting import export_model
from jd_tf.serving.export.verification.verify import verify
from jd_tf.serving.export.versions import HIGHEST_FILE
from jd_tf.serving.export.warmup import record_calls, shape_buckets
from tests.serving import tiny_ranker
from tests.serving.exported import METRICS, export_in_process
from tests.serving.tiny_ranker import TinyRanker


def test_folder_holds_all_that_serving_needs(exported):
    assert exported.folder.name == "1"
    assert {p.name for p in exported.folder.parent.iterdir()} == {
        "1",
        HIGHEST_FILE,
    }
    for name in (
        "saved_model.pb",
        "variables/variables.index",
        "assets.extra/tf_serving_warmup_requests",
        "assets.extra/schema.json",
        "model_card.json",
        "model_card.md",
        "batching_params.pbtxt",
    ):
        path = exported.folder / name
        assert path.stat().st_size > 0, name
        assert path.stat().st_mode & 0o044, f"{name} is private"
    stored = Schema.load(exported.folder / "assets.extra" / "schema.json")
    assert stored == exported.schema


def test_model_card_describes_the_model(exported):
    card = json.loads((exported.folder / "model_card.json").read_text())
    assert card["model"] == "jd_ranker"
    assert card["metrics"] == METRICS
    assert config_from_json(JDRankerConfig, card["config"]) == (
        exported.model.config
    )
    assert card["user_state"] == {"reusable": exported.model.reusable}
    assert card["schema"] == exported.schema.to_json()
    assert card["versions"]["tensorflow"] == tf.__version__
    assert card["num_parameters"] == exported.model.count_params()
    assert set(card["signatures"]) == {
        "serving_default",
        "encode_and_rank",
        "encode_user",
        "rank_candidates",
        "explain",
    }
    score = card["signatures"]["serving_default"]["outputs"]["score"]
    assert score == {"dtype": "float32", "shape": [None, None]}
    assert card["ops"]["MatMul"] > 0
    graph = (exported.folder / "saved_model.pb").stat().st_size
    assert card["size"]["graph_bytes"] == graph
    assert card["size"]["num_nodes"] == sum(card["ops"].values())
    assert card["size"]["num_ops"] == len(card["ops"])
    floats = sum(w.numpy().nbytes for w in exported.model.weights)
    assert floats <= card["size"]["variables_bytes"] < 1.2 * floats + 20_000
    assert card["precision"] is None
    assert max(card["verification"]["max_relative_difference"].values()) < 1e-4
    files = {
        str(path.relative_to(exported.folder)): path.stat().st_size
        for path in exported.folder.rglob("*")
        if path.is_file() and not path.name.startswith("model_card")
    }
    assert card["files"] == files
    text = (exported.folder / "model_card.md").read_text()
    for words in (
        "`rank_candidates`",
        "| click | 0.7500 | - |",
        "order (50)",
        "exact at later moments",
    ):
        assert words in text


def test_warmup_file_is_what_a_server_accepts(exported):
    path = exported.folder / "assets.extra" / "tf_serving_warmup_requests"
    loaded = tf.saved_model.load(str(exported.folder))
    # The compression is named: a compressed file would not parse.
    records = list(tf.data.TFRecordDataset(str(path), compression_type=""))
    assert 0 < len(records) < 1000
    calls, shapes = {}, {}
    for record in records:
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        assert log.WhichOneof("log_type") == "predict_log"
        request = log.predict_log.request
        signature = request.model_spec.signature_name
        calls[signature] = calls.get(signature, 0) + 1
        inputs = {n: tf.make_ndarray(p) for n, p in request.inputs.items()}
        loaded.signatures[signature](
            **{name: tf.constant(value) for name, value in inputs.items()}
        )
        item_id = inputs.get("item_id", np.zeros((len(inputs), 0)))
        shapes.setdefault(signature, set()).add(item_id.shape)
        for proto in request.inputs.values():
            # Compact on the wire: not one number a field.
            size = np.prod([dim.size for dim in proto.tensor_shape.dim])
            is_text = proto.dtype == tf.string.as_datatype_enum
            assert proto.tensor_content or is_text or size < 2
    assert set(calls) == set(loaded.signatures)
    every = {(size, 7) for size in (1, 2, 4, 8, 16)}
    for signature in set(calls) - {"encode_user"}:
        assert shapes[signature] == every
    assert calls["encode_user"] == len(every)


def test_every_width_and_batch_size_is_warmed_up():
    schema = tiny_ranker.SCHEMA
    wide = type(schema)(**{**vars(schema), "max_candidates": 150})
    assert shape_buckets(wide) == [
        (1, 16),
        (1, 32),
        (1, 64),
        (1, 128),
        (1, 150),
        (2, 16),
        (4, 16),
        (8, 16),
        (16, 16),
    ]


def test_versions_count_up(tmp_path):
    (tmp_path / "tiny_ranker" / "7").mkdir(parents=True)
    (tmp_path / "tiny_ranker" / "9.old").mkdir()
    folder = export_in_process(TinyRanker(), tmp_path)
    assert folder == tmp_path / "tiny_ranker" / "8"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("PythonRanker", "EagerPyFunc runs Python"),
        ("SummingRanker", "other padding"),
        ("MinglingRanker", "alone and among others"),
        ("HalvedRanker", "signature `serving_default` and the live model"),
        ("StatelessRanker", "returned no `user_state_*`"),
        ("BrokenRanker", "a score is not finite"),
    ],
)
def test_wrong_models_are_refused(tmp_path, wrong, message):
    export = export_model if wrong == "PythonRanker" else export_in_process
    model = getattr(tiny_ranker, wrong)()
    with pytest.raises(ExportError, match=re.escape(message)):
        export(model, tmp_path, name="wrong")
    assert list((tmp_path / "wrong").iterdir()) == []


def test_model_whose_reload_differs_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "verify_elsewhere", verify)
    model = TinyRanker()

    def change_then_record(served, functions, requests):
        # After saving: the file is no longer the live model.
        kernel = model.tower.kernel
        kernel.assign(kernel + 1e-3)
        return record_calls(served, functions, requests)

    monkeypatch.setattr(exporting, "record_calls", change_then_record)
    with pytest.raises(ExportError, match=r"`(score|prob\w+)` differs by"):
        export_model(model, tmp_path)
    assert list((tmp_path / "tiny_ranker").iterdir()) == []


@pytest.mark.parametrize(
    "stage", ["record_calls", "verify_elsewhere", "publish"]
)
def test_interrupted_export_leaves_nothing(tmp_path, monkeypatch, stage):
    def interrupt(*_):
        assert list((tmp_path / "tiny_ranker").glob(".export-*/saved_model.pb"))
        raise KeyboardInterrupt

    monkeypatch.setattr(exporting, "verify_elsewhere", lambda *_: REPORT)
    monkeypatch.setattr(exporting, stage, interrupt)
    with pytest.raises(KeyboardInterrupt):
        export_model(TinyRanker(), tmp_path)
    assert list((tmp_path / "tiny_ranker").iterdir()) == []


def test_unreadable_output_is_named(tmp_path):
    (tmp_path / "tiny_ranker").write_text("a file")
    with pytest.raises(ExportError, match="a file is in the way"):
        export_model(TinyRanker(), tmp_path)


REPORT = {
    "signatures": {},
    "ops": {},
    "num_recordings": 1,
    "max_relative_difference": {},
}
