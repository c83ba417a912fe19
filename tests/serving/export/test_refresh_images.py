"""New image vectors move only scores that depend on them."""

import numpy as np
import pytest

from jd_tf.data.dataset import write_dataset
from jd_tf.data.item_vectors import ItemVectors
from jd_tf.models.config_fields import replace_fields
from jd_tf.models.ranking.jd_ranker import JDRanker
from jd_tf.schema import DataError
from jd_tf.serving.export import refresh_images
from jd_tf.serving.export.refresh_images import (
    compare,
    refresh,
    with_tables,
)
from tests.models.test_item_content import CONTENT, TITLED, titled_batch
from tests.models.test_item_content import with_images as pictured
from tests.requests import random_requests


def vectors_of(ids, numbers):
    return ItemVectors(np.asarray(ids), np.asarray(numbers, np.float32))


def break_copy(model):
    bias = model.item_encoder.projection.bias
    bias.assign(bias + 0.1)


@pytest.fixture(scope="module")
def batch():
    return titled_batch()


@pytest.fixture(scope="module")
def ranker(batch):
    return pictured("transfer", batch)


def test_the_same_vectors_move_nothing(ranker, batch):
    model, ids, vectors = ranker
    after = with_tables(model, vectors_of(ids, vectors), None)
    report = compare(model, after, [batch])
    assert (report.added, report.changed, report.removed) == (0, 0, 0)
    assert report.moved == report.wrongly_moved == report.touched == 0
    assert report.untouched == batch["num_candidates"].numpy().sum()


@pytest.mark.slow
def test_only_what_sees_another_picture_moves(ranker, batch):
    model, ids, vectors = ranker
    vectors = np.array(vectors)
    vectors[2] *= -1
    ids = np.append(ids, 2**50)
    vectors = np.vstack([vectors, np.ones((1, 5))])
    after = with_tables(model, vectors_of(ids[1:], vectors[1:]), None)
    report = compare(model, after, [batch])
    assert (report.added, report.changed, report.removed) == (1, 1, 1)
    assert report.wrongly_moved == 0
    assert 0 < report.moved <= report.touched
    assert report.largest > 0
    moved = (model(batch)["score"] != after(batch)["score"]).numpy()
    real = np.arange(moved.shape[1]) < batch["num_candidates"].numpy()[:, None]
    assert report.moved == (moved & real).sum()


def test_the_table_grows_with_the_catalogue(ranker):
    model = ranker[0]
    ids = np.arange(1, 101)
    after = with_tables(model, vectors_of(ids, np.ones((100, 5))), None)
    assert after.config.content.num_image_rows == 100
    assert len(after.item_encoder.images.filled()[0]) == 100


def test_a_broken_copy_is_noticed(ranker, batch):
    model, ids, vectors = ranker
    after = with_tables(model, vectors_of(ids, vectors), None)
    break_copy(after)
    assert compare(model, after, [batch]).wrongly_moved > 0


def test_vectors_that_do_not_fit_are_refused(ranker):
    model = ranker[0]
    with pytest.raises(DataError, match="3 wide, the ranker was trained on 5"):
        with_tables(model, vectors_of([1], np.ones((1, 3))), None)
    blind = JDRanker(TITLED, replace_fields(CONTENT, {"use_images": ""}))
    with pytest.raises(DataError, match="reads no images"):
        with_tables(blind, vectors_of([1], np.ones((1, 5))), None)
    texts = vectors_of(["a"], np.ones((1, 5)))
    with pytest.raises(DataError, match="are string, but `item_id`"):
        with_tables(model, texts, None)


@pytest.mark.parametrize("broken", [False, True])
def test_a_refresh_exports_unless_other_scores_moved(
    ranker, tmp_path, monkeypatch, broken
):
    model, ids, vectors = ranker
    ItemVectors(ids, vectors.astype("float32")).save(tmp_path / "new")
    requests = random_requests(TITLED, 6)
    for request in requests:
        for name in ("title", "click_title", "order_title"):
            request[name] = np.array([b""] * len(request[name]), object)
    write_dataset(tmp_path / "data", TITLED, {"test": requests}, num_shards=1)
    exported, lines = [], []
    monkeypatch.setattr(refresh_images, "load_trained", lambda _: model)
    monkeypatch.setattr(
        refresh_images, "export", lambda *_, **kw: exported.append(kw["model"])
    )
    if broken:

        def copy(model, vectors, pairs):
            after = with_tables(model, vectors, pairs)
            break_copy(after)
            return after

        monkeypatch.setattr(refresh_images, "with_tables", copy)
    data = tmp_path / "data"
    refresh("run", data, tmp_path / "new", log=lines.append)
    assert "image vectors: 0 added" in lines[0]
    assert len(exported) == (not broken)
    assert model not in exported
