"""Rounded rankers are smaller and nearly the same."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import json_format
from tensorflow.core.protobuf import saved_model_pb2

from jd_tf.data.dataset import split_files, write_dataset
from jd_tf.layers import IdEmbedding, TextEncoder, VectorTable
from jd_tf.models.ranking.jd_ranker import JDRanker, JDRankerConfig
from jd_tf.schema import Behavior, IdColumn, Objective
from jd_tf.serving.client import RankingClient, read_requests
from jd_tf.serving.client.errors import SchemaMismatchError
from jd_tf.serving.client.rest_transport import _read_description
from jd_tf.serving.errors import ExportError
from jd_tf.serving.export import exporting
from jd_tf.serving.export.exporting import export
from jd_tf.serving.export.loading import LoadedModel
from jd_tf.serving.export.recordings import WARMUP_FILE, read_recordings
from jd_tf.serving.export.rounding import (
    DTYPES,
    TOLERANCES,
    CompactTable,
    compact_tables,
    round_ranker,
)
from jd_tf.serving.export.verification.verify import verify
from tests.requests import random_requests, small_schema

SCHEMA = small_schema(
    item_columns=(IdColumn("item_id", num_buckets=1000),),
    behaviors=(Behavior("click", max_length=5),),
    objectives=(Objective("click"), Objective("order", given="click")),
    max_candidates=6,
    context_columns=(IdColumn("hour", num_buckets=30),),
    bias_columns=(),
)


@pytest.fixture(scope="module", name="ranker")
def _ranker():
    keras.utils.set_random_seed(3)
    model = JDRanker(
        SCHEMA,
        JDRankerConfig.of(
            model_dim=8,
            item_embedding_dim=8,
            num_heads=2,
            feedforward_dim=8,
            num_experts=2,
            expert_units=(8,),
            tower_units=(4,),
        ),
    )
    generator = np.random.default_rng(5)
    for weight in model.trainable_weights:
        noise = generator.normal(0, 0.2, weight.shape)
        weight.assign(weight + noise.astype("float32"))
    return model


@pytest.fixture(scope="module", name="data")
def _data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "small"
    requests = random_requests(SCHEMA, 40, seed=3)
    write_dataset(folder, SCHEMA, {"validation": requests}, num_shards=1)
    return folder


@pytest.fixture(scope="module", name="exported")
def _exported(ranker, data, tmp_path_factory):
    """The ranker in float32, the smallest version, and one of short states."""
    output = tmp_path_factory.mktemp("saved_models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting, "verify_elsewhere", verify)
        return [
            export(
                output,
                data,
                output,
                name,
                dtype=dtype,
                tables=tables,
                states=states,
                model=ranker,
            )
            for name, dtype, tables, states in (
                ("exact", "float32", "float32", "float32"),
                ("small", "bfloat16", "int8", "float32"),
                ("short", "float32", "float32", "bfloat16"),
            )
        ]


def test_nothing_to_round_is_the_ranker_itself(ranker):
    assert round_ranker(ranker) is ranker


@pytest.mark.slow
def test_signatures_stay_float32(exported):
    tables = [
        json.loads((f / "model_card.json").read_text())["signatures"]
        for f in exported[:2]
    ]
    assert tables[0] == tables[1]


@pytest.mark.slow
def test_the_version_is_smaller(exported):
    exact, small = (
        json.loads((f / "model_card.json").read_text())["size"]
        for f in exported[:2]
    )
    saved = exact["variables_bytes"] - small["variables_bytes"]
    # Eight values a row: each loses three bytes, the row gains a scale.
    assert saved == pytest.approx(1000 * (3 * 8 - 4), rel=0.1)


@pytest.mark.slow
def test_the_answers_are_nearly_the_same(exported):
    exact, small = (LoadedModel(folder) for folder in exported[:2])
    moved = []
    for recording in read_recordings(exported[0] / WARMUP_FILE):
        if recording.signature != "serving_default":
            continue
        one, other = (
            model.call("serving_default", recording.inputs)["score"]
            for model in (exact, small)
        )
        moved.append(np.abs(one - other).max() / np.abs(one).max())
    assert 0 < max(moved) < 0.2


@pytest.mark.slow
def test_the_card_has_the_cost_of_rounding(exported):
    card = json.loads((exported[1] / "model_card.json").read_text())
    precision = card["precision"]
    assert precision["dtype"] == "bfloat16"
    assert precision["tables"] == "int8"
    assert precision["split"] == "validation"
    assert precision["num_requests"] == 40
    assert 0 < precision["largest_score_change"] < 0.5
    auc = precision["metrics"]["click"]["auc"]
    assert auc["change"] == pytest.approx(auc["exported"] - auc["float32"])
    assert abs(auc["change"]) < 0.1
    assert set(precision["metrics"]) == {"click", "order", "value"}
    assert card["class"] == "JDRanker"
    assert card["verification"]["tolerance"] == TOLERANCES["bfloat16"]
    text = (exported[1] / "model_card.md").read_text()
    assert "Computes in bfloat16, tables in int8." in text
    assert "| click | auc | " in text


@pytest.mark.slow
def test_states_may_travel_in_half_the_bytes(exported, data):
    """Through the client and its cache; the second page finds the state."""
    shard = next(iter(split_files(data, "validation")))
    requests = read_requests(shard, SCHEMA)
    request = max(requests, key=lambda r: len(r["item_id"]))
    scores, kept = [], []
    for folder in (exported[0], exported[2]):
        with RankingClient.from_saved_model(folder) as client:
            pages = [client.rank(request, timeout=60.0) for _ in range(2)]
            np.testing.assert_array_equal(pages[0].scores, pages[1].scores)
            found = client.stats()["cache"]
            assert found["hits"] == 1
            scores.append(pages[0].scores[np.argsort(pages[0].order)])
            kept.append(found["bytes"])
    error = np.abs(scores[0] - scores[1]).max() / np.abs(scores[0]).max()
    assert 0 < error < 0.02
    assert kept[1] < 0.6 * kept[0]
    card = json.loads((exported[2] / "model_card.json").read_text())
    assert error <= 1.5 * card["precision"]["largest_score_change"]
    types = {
        tensor["dtype"]
        for name, tensor in card["signatures"]["encode_user"]["outputs"].items()
    }
    assert "bfloat16" in types
    assert "float32" not in types
    text = (exported[2] / "model_card.md").read_text()
    assert "user states in bfloat16" in text


def test_cost_needs_data(ranker, tmp_path):
    with pytest.raises(ExportError, match="name a data folder"):
        export(tmp_path, None, tmp_path, tables="int8", model=ranker)
    assert list(tmp_path.iterdir()) == []


def test_unknown_types_are_refused(ranker):
    with pytest.raises(ExportError, match="`dtype` must be one of float32"):
        round_ranker(ranker, dtype="float8")
    with pytest.raises(ExportError, match="`tables` must be one of float32"):
        round_ranker(ranker, tables="int4")
    assert set(DTYPES) == set(TOLERANCES)


def test_times_of_a_state_are_not_rounded(ranker):
    histories = {
        "click_length": tf.constant([1]),
        "click_item_id": tf.constant([[7]], tf.int64),
        "click_event_time": tf.constant([[1_700_000_001]], tf.int64),
    }
    state = round_ranker(ranker, "bfloat16").encode_user(histories)
    newest = state["user_state_click_newest_time"]
    assert newest.dtype == tf.int64
    assert newest.numpy() == [1_700_000_001]


def test_the_live_ranker_stays_as_it_is(ranker):
    before = [weight.numpy() for weight in ranker.weights]
    round_ranker(ranker, tables="float16")
    for weight, value in zip(ranker.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)
    layers = ranker._flatten_layers()
    assert not any(hasattr(layer, "compact") for layer in layers)


@pytest.mark.parametrize("storage", ["bfloat16", "int8"])
def test_every_kind_of_table_is_compacted(storage):
    class Tables(keras.Model):
        def __init__(self):
            super().__init__()
            self.ids = IdEmbedding(4, num_buckets=9)
            self.words = TextEncoder(4, num_buckets=9)
            self.pictures = VectorTable(5, 4)
            for layer in (self.ids, self.words, self.pictures):
                layer.build((None, None))
            self.built = True

    model = Tables()
    generator = np.random.default_rng(1)
    model.pictures.assign([7, 8], generator.normal(size=(2, 4)))
    ids, texts = tf.constant([[7, 0, 3]]), tf.constant([["red hat", ""]])
    before = {
        "ids": model.ids(ids),
        "words": model.words(texts),
        "pictures": model.pictures(ids)[0],
    }
    assert compact_tables(model, storage) == 3
    after = {
        "ids": model.ids(ids),
        "words": model.words(texts),
        "pictures": model.pictures(ids)[0],
    }
    for name, expected in before.items():
        found = after[name].numpy()
        assert 0 < np.abs(found - expected).max() < 0.02, name
        zero = ~np.any(expected, axis=-1)
        np.testing.assert_array_equal(found[zero], 0.0)
    assert [weight.name for weight in model.weights] == ["keys"]
    assert isinstance(model.ids.compact, CompactTable)


@pytest.mark.slow
def test_rest_refuses_states_in_half_precision(exported):
    """By the metadata that a server answers of the version."""
    saved = saved_model_pb2.SavedModel.FromString(
        (exported[2] / "saved_model.pb").read_bytes()
    )
    saved = json_format.MessageToDict(saved.meta_graphs[0])["signatureDef"]
    body = json.dumps(
        {
            "model_spec": {"version": "1"},
            "metadata": {"signature_def": {"signature_def": saved}},
        }
    ).encode()
    with pytest.raises(SchemaMismatchError, match=r"bfloat16.*gRPC"):
        _read_description(body, "here")
