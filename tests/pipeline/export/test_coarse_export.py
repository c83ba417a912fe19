"""A coarse tower as a SavedModel: as in NumPy, in process and at a server."""

import shutil

import keras
import numpy as np
import pytest

from jd_tf.models.retrieval.coarse_tower import CoarseConfig, CoarseTower
from jd_tf.pipeline.building import open_recommender
from jd_tf.pipeline.catalogue import Catalogue
from jd_tf.pipeline.export.coarse_export import ServedCoarse, export_coarse
from jd_tf.pipeline.stages.coarse_stage import CoarseStage
from jd_tf.pipeline.stages.served_coarse_stage import ServedCoarseStage
from jd_tf.pipeline.stages.stage import ScoredItems, UserRequest
from jd_tf.serving.client import (
    GrpcTransport,
    ModelChoice,
    SavedModelTransport,
)
from jd_tf.serving.errors import ExportError
from jd_tf.serving.export import exporting, verify_export
from jd_tf.serving.export.loading import LoadedModel
from jd_tf.serving.export.recordings import (
    WARMUP_FILE,
    read_recordings,
    write_recordings,
)
from jd_tf.serving.export.verification.verify import verify
from jd_tf.serving.signature_names import (
    ENCODE_ITEMS,
    ENCODE_USER,
    LOWEST_SCORE,
    SERVING_DEFAULT,
)
from tests.models.test_jd_ranker import batch_of, moved
from tests.pipeline.export.test_retrieval_export import SCHEMAS, catalogue_of
from tests.pipeline.shop import request
from tests.requests import random_requests
from tests.serving.fake_server.model_server import model_config
from tests.serving.fake_server.start import model_server

CONFIG = CoarseConfig.of(
    vector_dim=6,
    item_embedding_dim=4,
    feature_embedding_dim=3,
    hidden_units=8,
)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A model, its catalogue, requests and its version folder; ids are texts.

    Numbers are those of the shop that the recommender is asked in.
    """
    schema = SCHEMAS["text"]
    keras.utils.set_random_seed(3)
    model = moved(CoarseTower(schema, CONFIG))
    requests = random_requests(schema, 6)
    model.adapt([batch_of(requests, schema)])
    items = catalogue_of(schema)
    output = tmp_path_factory.mktemp("towers")
    with pytest.MonkeyPatch.context() as patch:
        # A fresh process takes seconds; one test of programs has it.
        patch.setattr(exporting, "verify_elsewhere", verify)
        folder = export_coarse(model, items, output, requests=requests)
    batch = {n: t.numpy() for n, t in batch_of(requests, schema).items()}
    return model, items, batch, folder


def inputs_of(folder, batch, ids, counts):
    names = LoadedModel(folder).signatures[ENCODE_USER]["inputs"]
    users = {name: batch[name] for name in names}
    return {**users, "item_id": ids, "num_candidates": counts}


def test_scores_are_products_of_what_the_towers_know(exported):
    """By loops, from the live model's vectors; padding and strangers lose."""
    model, items, batch, folder = exported
    size, width = len(batch["click_length"]), 5
    ids = np.stack([items.item_id[n : n + width] for n in range(size)])
    ids[:, 1] = b"none"
    counts = np.array([5, 4, 3, 2, 1, 0], np.int32)
    answer = LoadedModel(folder).call(
        SERVING_DEFAULT, inputs_of(folder, batch, ids, counts)
    )["score"]
    users = model.encode_user(batch).numpy()
    columns = {n: c[None] for n, c in items.columns.items()}
    vectors = model.encode_items(columns)[0].numpy()
    for row in range(size):
        for place in range(width):
            real = place < counts[row] and place != 1
            expected = float(users[row] @ vectors[row + place])
            found = answer[row, place]
            assert found == pytest.approx(
                expected if real else LOWEST_SCORE, rel=1e-4, abs=1e-5
            )


def test_no_candidates_are_an_empty_answer(exported):
    _, items, batch, folder = exported
    size = len(batch["click_length"])
    ids, none = items.item_id[:0], np.zeros(size, np.int32)
    inputs = inputs_of(folder, batch, np.tile(ids, (size, 1)), none)
    answer = LoadedModel(folder).call(SERVING_DEFAULT, inputs)
    assert answer["score"].shape == (size, 0)


def test_items_that_are_not_there_can_be_encoded(exported):
    model, _, _, folder = exported
    more = catalogue_of(model.schema, 35)
    loaded = LoadedModel(folder)
    columns = {
        name: more.columns[name]
        for name in loaded.signatures[ENCODE_ITEMS]["inputs"]
    }
    found = loaded.call(ENCODE_ITEMS, columns)["vector"]
    kept = CoarseStage(model, more).vectors
    np.testing.assert_allclose(found, kept, rtol=1e-4, atol=1e-5)


def test_the_stage_is_the_same_in_numpy_in_process_and_remote(exported):
    model, items, batch, folder = exported
    columns = {
        c.name: batch[c.name][:1]
        for c in model.schema.columns()
        if c.name in model.user_columns
    }
    # As the recommender has it, with columns that the tower does not read.
    extra = {name: batch[name][:1] for name in ("click_dwell_seconds",)}
    user = UserRequest({}, {**columns, **extra})
    given = ScoredItems(items.item_id[::-1], np.zeros(len(items)))
    expected = CoarseStage(model, items).order(user, given, 12, 1.0)
    config = model_config("coarse_tower", folder.parent)
    with model_server(config) as server:
        server.wait_until("coarse_tower", 1)
        choice = ModelChoice("coarse_tower")
        for transport in (
            SavedModelTransport(folder),
            GrpcTransport(server.address, choice),
        ):
            stage = ServedCoarseStage(transport)
            found = stage.order(user, given, 12, 30.0)
            assert found.item_id.tolist() == expected.item_id.tolist()
            np.testing.assert_allclose(
                found.score, expected.score, rtol=1e-5, atol=1e-5
            )
            transport.close()
    with pytest.raises(Exception, match="closed"):
        stage.order(user, given, 12, 1.0)


def test_what_a_version_answers_is_verified(exported, tmp_path):
    *_, folder = exported
    assert verify_export(folder) == []
    copy = shutil.copytree(folder, tmp_path / "1")
    (copy / "model_card.json").unlink()
    calls = list(read_recordings(copy / WARMUP_FILE))
    for call in calls:
        if call.signature == ENCODE_ITEMS:
            # Another item's columns under the id of one that is scored.
            call.inputs["item_id"][:] = np.roll(call.inputs["item_id"], 1)
            answer = LoadedModel(copy).call(ENCODE_ITEMS, call.inputs)
            call.outputs.update(answer)
    write_recordings(copy / WARMUP_FILE, calls, "coarse_tower")
    found = verify_export(copy)
    assert found
    assert all("products of the vectors" in line for line in found)


def test_wrong_catalogues_are_refused(exported):
    model, items, *_ = exported
    columns = {n: c for n, c in items.columns.items() if n != "brand_id"}
    with pytest.raises(ExportError, match="no column `brand_id`"):
        ServedCoarse(model, Catalogue(columns))
    none = {n: c[:0] for n, c in items.columns.items()}
    with pytest.raises(ExportError, match="no item"):
        ServedCoarse(model, Catalogue(none))


def test_a_recommender_asks_a_saved_model_or_a_server(tmp_path):
    """By the YAML file, as it does the NumPy stage."""
    from jd_tf.pipeline.item_statistics import ItemStatistics
    from tests.pipeline.shop import SCHEMA, catalogue

    keras.utils.set_random_seed(3)
    model, items = moved(CoarseTower(SCHEMA, CONFIG)), catalogue()
    (tmp_path / "coarse").mkdir()
    model.save(tmp_path / "coarse" / "coarse.keras")
    SCHEMA.save(tmp_path / "schema.json")
    items.save(tmp_path / "catalogue.npz")
    ItemStatistics(items.item_id, items.item_id, items.item_id).save(
        tmp_path / "statistics.npz"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting, "verify_elsewhere", verify)
        folder = export_coarse(model, items, tmp_path)
    config = model_config("coarse_tower", folder.parent)
    answers = []
    with model_server(config) as server:
        server.wait_until("coarse_tower", 1)
        for way in (
            "folder: coarse",
            "saved_model: coarse_tower",
            f"grpc: '{server.address}'",
        ):
            path = tmp_path / "recommender.yaml"
            path.write_text(
                "schema: schema.json\ncatalogue: catalogue.npz\n"
                "statistics: statistics.npz\ndeadline: 60\n"
                "recall: {seconds: 5, channels: {popular: {kind: popular}}}\n"
                f"coarse: {{{way}, count: 9, seconds: 50}}\n"
            )
            with open_recommender(path) as opened:
                answers.append(opened.recommender.recommend(request(2)))
    first = answers[0]
    assert len(first.item_id) == 9
    for answer in answers:
        assert answer.degraded == ()
        assert answer.item_id.tolist() == first.item_id.tolist()
