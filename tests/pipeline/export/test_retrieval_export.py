"""One SavedModel: users in, items out; as the live model, and new items."""

import numpy as np
import pytest

from jd_tf.models.retrieval.two_tower import TwoTower
from jd_tf.models.retrieval.two_tower_config import TwoTowerConfig
from jd_tf.pipeline.catalogue import Catalogue
from jd_tf.pipeline.export.retrieval_export import (
    ServedRetriever,
    export_retriever,
)
from jd_tf.pipeline.two_tower_channel import TwoTowerChannel
from jd_tf.schema import DataError, IdColumn
from jd_tf.serving.client import GrpcTransport, ModelChoice
from jd_tf.serving.client.transport import Call
from jd_tf.serving.errors import ExportError
from jd_tf.serving.export import exporting, verify_export
from jd_tf.serving.export.loading import LoadedModel
from jd_tf.serving.export.verification.comparison import check_equal
from jd_tf.serving.export.verification.verify import verify
from jd_tf.serving.signature_names import (
    ENCODE_ITEMS,
    ENCODE_USER,
    EXCLUDED,
    LOWEST_SCORE,
    NUM_EXCLUDED,
    NUM_FOUND,
    SERVING_DEFAULT,
)
from tests.models.test_jd_ranker import batch_of, moved
from tests.requests import random_requests, small_schema
from tests.serving.fake_server.model_server import model_config
from tests.serving.fake_server.start import model_server

ITEMS, COUNT = 30, 12
TEXT = (
    IdColumn("item_id", dtype="string", num_buckets=60),
    *small_schema().item_columns[1:],
)
SCHEMAS = {"int": small_schema(), "text": small_schema(item_columns=TEXT)}


def catalogue_of(schema, count=ITEMS):
    rng = np.random.default_rng(8)
    number = 1 + np.arange(count)
    text = schema.item_columns[0].dtype == "string"
    brands = [b"b%d" % n for n in rng.integers(1, 9, count)]
    return Catalogue(
        {
            "item_id": np.array([b"b%d" % n for n in number], object)
            if text
            else number,
            "category_id": rng.integers(1, 9, count),
            "brand_id": np.array(brands, object),
            "tag_id": rng.integers(0, 9, (count, 3)),
            "item_dense": rng.gamma(1.0, 9.0, (count, 2)).astype("float32"),
        }
    )


@pytest.fixture(scope="module", params=SCHEMAS)
def exported(request, tmp_path_factory):
    """A model, its catalogue, requests and its version folder."""
    schema = SCHEMAS[request.param]
    config = TwoTowerConfig.of(
        model_dim=8,
        item_embedding_dim=4,
        feature_embedding_dim=3,
        feedforward_dim=8,
        num_encoder_layers=1,
        num_interests=2,
    )
    model = moved(TwoTower(schema, config))
    requests = random_requests(schema, 6)
    model.adapt([batch_of(requests, schema)])
    output = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        # A fresh process takes seconds; a test of programs has it.
        patch.setattr(exporting, "verify_elsewhere", verify)
        folder = export_retriever(
            model, catalogue_of(schema), output, "shop", COUNT, requests
        )
    batch = {n: t.numpy() for n, t in batch_of(requests, schema).items()}
    return model, catalogue_of(schema), batch, folder


def test_a_version_is_fit_to_be_served(exported):
    *_, folder = exported
    assert folder.name == "1"
    assert verify_export(folder) == []


def test_lists_are_those_of_all_scores(exported):
    """Of the live model, sorted here, without history and excluded items."""
    model, catalogue, batch, folder = exported
    excluded = np.stack([catalogue.item_id[:3]] * 6)
    found = TwoTowerChannel.load(folder).recall(batch, COUNT, excluded)
    size = len(batch["click_length"])
    columns = {n: c[None] for n, c in catalogue.columns.items()}
    items = model.encode_items(columns)[0].numpy()
    users = model.encode_user(batch).numpy()
    for row in range(size):
        length = batch["click_length"][row]
        out = {*excluded[row], *batch["click_item_id"][row, :length]}
        scores = {
            item: max(float(user @ vector) for user in users[row])
            for item, vector in zip(catalogue.item_id, items, strict=True)
            if item not in out
        }
        order = sorted(scores, key=scores.get, reverse=True)[:COUNT]
        assert found.item_id[row].tolist() == order
        np.testing.assert_allclose(
            found.score[row], [scores[item] for item in order], rtol=1e-4
        )
    assert found.length.tolist() == [COUNT] * size


def test_live_and_loaded_channels_agree(exported):
    model, catalogue, batch, folder = exported
    live = TwoTowerChannel(ServedRetriever(model, catalogue, COUNT))
    one, two = (
        live.recall(batch, 5),
        TwoTowerChannel.load(folder).recall(batch, 5),
    )
    assert one.item_id.tolist() == two.item_id.tolist()
    np.testing.assert_allclose(one.score, two.score, rtol=1e-4)


def test_what_a_server_pads_with_excludes_nothing(exported):
    """It repeats the first element of a tensor; lengths tell."""
    *_, batch, folder = exported
    loaded = LoadedModel(folder)
    names = loaded.signatures[SERVING_DEFAULT]["inputs"]
    size = len(batch["click_length"])
    # The best item of each user, and the first user's for all of them.
    best = TwoTowerChannel(loaded).recall(batch, 1).item_id
    padded = {
        **{n: batch[n] for n in names if n in batch},
        EXCLUDED: np.stack([best[0]] * size),
        NUM_EXCLUDED: np.array([1] + [0] * (size - 1), np.int32),
    }
    found = loaded.call(SERVING_DEFAULT, padded)["item_id"]
    assert best[0, 0] not in found[0].tolist()
    assert found[1:, :1].tolist() == best[1:].tolist()
    none = np.zeros(size, np.int32)
    padded = {**padded, EXCLUDED: best, NUM_EXCLUDED: none}
    found = loaded.call(SERVING_DEFAULT, padded)["item_id"]
    assert found[:, :1].tolist() == best.tolist()


def test_a_server_answers_as_the_loaded_version(exported):
    *_, batch, folder = exported
    loaded = LoadedModel(folder)
    size = len(batch["click_length"])
    best = TwoTowerChannel(loaded).recall(batch, 1).item_id
    given = {**batch, EXCLUDED: best, NUM_EXCLUDED: np.ones(size, np.int32)}
    with model_server(model_config("shop", folder.parent)) as server:
        server.wait_until("shop", 1)
        transport = GrpcTransport(server.address, ModelChoice("shop"))
        for signature in (SERVING_DEFAULT, ENCODE_USER):
            taken = loaded.signatures[signature]["inputs"]
            inputs = {name: given[name] for name in taken}
            answer = transport.call(Call(signature, inputs), 60.0).outputs
            check_equal(loaded.call(signature, inputs), answer, "a server")
        transport.close()


def test_everything_excluded_leaves_an_empty_list(exported):
    _, catalogue, batch, folder = exported
    size = len(batch["click_length"])
    loaded = LoadedModel(folder)
    names = loaded.signatures[SERVING_DEFAULT]["inputs"]
    answer = loaded.call(
        SERVING_DEFAULT,
        {
            **{n: batch[n] for n in names if n in batch},
            EXCLUDED: np.stack([catalogue.item_id] * size),
            NUM_EXCLUDED: np.full(size, ITEMS, np.int32),
        },
    )
    assert not answer[NUM_FOUND].any()
    assert (answer["score"] == np.float32(LOWEST_SCORE)).all()
    lists = TwoTowerChannel.load(folder).recall(
        batch, 4, np.stack([catalogue.item_id] * size)
    )
    assert not lists.present.any()
    assert np.isneginf(lists.score).all()


def test_new_items_are_found_without_training(exported):
    """The next index has them, at the vectors the last version gives them."""
    model, catalogue, batch, folder = exported
    more = catalogue_of(model.schema, ITEMS + 5)
    rows = more.rows(np.setdiff1d(more.item_id, catalogue.item_id))
    old = LoadedModel(folder)
    columns = {
        name: more.columns[name][rows]
        for name in old.signatures[ENCODE_ITEMS]["inputs"]
    }
    vectors = old.call(ENCODE_ITEMS, columns)["vector"]
    served = ServedRetriever(model, more, ITEMS + 5)
    table = {w.shape: w for w in served.index.layer.weights}
    kept = table[(ITEMS + 5, 8)].numpy()
    np.testing.assert_allclose(vectors, kept[rows], rtol=1e-5, atol=1e-6)
    # As many as there are, where more are wanted.
    served.count = 2 * ITEMS
    found = TwoTowerChannel(served).recall(batch, 2 * ITEMS)
    assert (found.length <= ITEMS + 5).all()
    assert set(more.item_id[rows].tolist()) & {
        item for row in found.item_id.tolist() for item in row
    }


def test_errors_say_what_is_wrong(exported):
    model, catalogue, batch, folder = exported
    channel = TwoTowerChannel.load(folder)
    with pytest.raises(DataError, match=r"finds 12\. Export it with a larger"):
        channel.recall(batch, 13)
    part = {n: c for n, c in batch.items() if n != "click_length"}
    with pytest.raises(DataError, match="no column `click_length`"):
        channel.recall(part, 3)
    columns = dict(catalogue.columns)
    del columns["brand_id"]
    with pytest.raises(ExportError, match="no column `brand_id`"):
        ServedRetriever(model, Catalogue(columns), COUNT)
