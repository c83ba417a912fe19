"""Requests in, rankings out, with nothing but the folder."""

import json
import shutil

import numpy as np
import pytest

from jd_tf.schema import SERVING_ROLES, DataError, Role
from jd_tf.serving.batching import pad_requests
from jd_tf.serving.client.ranking import make_ranking
from jd_tf.serving.client.request_checker import RequestChecker
from jd_tf.serving.client.saved_ranker import SavedRanker
from jd_tf.serving.errors import ExportError
from tests.requests import random_requests

CLOSE = {"rtol": 1e-5, "atol": 1e-6}


@pytest.fixture(scope="module")
def ranker(exported):
    return SavedRanker(exported.folder.parent)


@pytest.fixture(scope="module")
def requests(exported):
    requests = random_requests(exported.schema, 7, seed=3)
    for request in requests:
        # Ids that tell candidates apart.
        count = len(request["item_id"])
        request["item_id"] = np.arange(101, 101 + count)
    return requests


def live(exported, request):
    checked = RequestChecker(exported.schema).check(request)
    columns = exported.schema.columns(*SERVING_ROLES)
    # As wide as can be: answers do not depend on padding.
    widths = {b.length: b.max_length for b in exported.schema.behaviors}
    ranked = exported.model(pad_requests([checked], columns, widths))
    return ranked["score"].numpy()[0], ranked["probabilities"].numpy()[0]


def with_candidates(request, schema, count):
    longer = dict(request)
    for column in schema.columns(Role.CANDIDATE):
        if column.ragged:
            value = np.asarray(request[column.name])
            longer[column.name] = np.resize(value, (count, *value.shape[1:]))
    longer["item_id"] = np.arange(101, 101 + count)
    return longer


def test_rankings_are_the_live_models_order(ranker, exported, requests):
    rankings = ranker.rank(requests, batch_size=3)
    assert [r.request_id for r in rankings] == list(range(7))
    for request, ranking in zip(requests, rankings, strict=True):
        score, probabilities = live(exported, request)
        order = sorted(range(len(score)), key=lambda i: -score[i])
        np.testing.assert_array_equal(ranking.order, order)
        np.testing.assert_array_equal(
            ranking.item_ids, request["item_id"][order]
        )
        np.testing.assert_allclose(ranking.scores, score[order], **CLOSE)
        np.testing.assert_allclose(
            ranking.probabilities, probabilities[order], **CLOSE
        )
    assert max(len(r.item_ids) for r in rankings) > 3


def test_no_candidates_are_no_items(ranker, exported, requests):
    empty = with_candidates(requests[0], exported.schema, 0)
    before, nothing, after = ranker.rank([requests[1], empty, requests[2]])
    assert len(nothing.item_ids) == 0
    assert nothing.probabilities.shape == (0, 3)
    assert "no candidates" in nothing.table()
    assert nothing.to_json()["items"] == []
    for request, ranking in ((requests[1], before), (requests[2], after)):
        assert len(ranking.item_ids) == len(request["item_id"])


def test_too_many_candidates_are_ranked_in_slices(ranker, exported, requests):
    schema = exported.schema
    many = with_candidates(requests[0], schema, 3 * schema.max_candidates + 2)
    ranking = ranker.rank([many])[0]
    assert sorted(ranking.item_ids) == sorted(many["item_id"])
    score, _ = live(exported, many)
    np.testing.assert_allclose(ranking.scores, -np.sort(-score), **CLOSE)
    np.testing.assert_allclose(score[ranking.order], ranking.scores, **CLOSE)


def test_batches_are_scored_as_by_the_live_model(ranker, exported, requests):
    checker = RequestChecker(exported.schema)
    columns = exported.schema.columns(*SERVING_ROLES)
    batch = pad_requests([checker.check(r) for r in requests], columns)
    found = ranker.score({**batch, "labels": "ignored"})
    expected = exported.model(batch)
    for name in ("score", "probabilities"):
        np.testing.assert_allclose(found[name], expected[name], **CLOSE)


def test_wrong_requests_are_named(ranker, requests):
    wrong = {**requests[2], "scenario": "x", "request_id": b"r17"}
    with pytest.raises(DataError) as caught:
        ranker.rank([requests[0], wrong])
    assert str(caught.value).startswith("request 1 (id 'r17'): column `scenar")
    # And the next request is answered.
    assert len(ranker.rank(requests[:1])) == 1


def test_a_broken_model_is_not_believed(ranker, requests, monkeypatch):
    def broken(signature, inputs):
        shape = inputs["item_id"].shape
        return {
            "score": np.full(shape, np.nan, "float32"),
            "probabilities": np.zeros((*shape, 3), "float32"),
        }

    monkeypatch.setattr(ranker.model, "call", broken)
    with pytest.raises(ExportError, match="not finite"):
        ranker.rank(requests[:1])


def test_wrong_calls_are_told(ranker):
    with pytest.raises(ExportError, match="no signature `predict`"):
        ranker.model.call("predict", {})
    with pytest.raises(ExportError, match=r"takes \['brand_id'.* got \['x'\]"):
        ranker.model.call("rank_candidates", {"x": 1})


def test_a_folder_without_schema_is_told(exported, tmp_path):
    folder = shutil.copytree(exported.folder, tmp_path / "1")
    (folder / "assets.extra" / "schema.json").unlink()
    with pytest.raises(DataError, match=r"schema\.json: missing"):
        SavedRanker(folder)
    (folder / "model_card.json").unlink()
    with pytest.raises(DataError, match=r"schema\.json: no such"):
        SavedRanker(folder)


def test_equal_scores_keep_request_order():
    scores = np.array([1.0, 2.0, 1.0, 2.0, 1.0], "float32")
    ids = np.array([b"a", b"b", b"c", b"d", "é".encode()], object)
    ranking = make_ranking(
        np.int64(5), ids, scores, scores[:, None] / 4, ("click",)
    )
    assert ranking.order.tolist() == [1, 3, 0, 2, 4]
    answer = json.loads(json.dumps(ranking.to_json(top=3)))
    assert answer["request_id"] == 5
    assert answer["num_candidates"] == 5
    assert answer["items"][2] == {
        "rank": 3,
        "item_id": "a",
        "score": 1.0,
        "probabilities": {"click": 0.25},
    }
    lines = ranking.table(top=2).splitlines()
    assert lines[0] == "request 5: best 2 of 5"
    assert lines[1].split() == ["rank", "item_id", "score", "click"]
    assert lines[3].split() == ["2", "d", "2", "0.5000"]
    assert len({len(line) for line in lines[1:]}) == 1
    assert "é" in ranking.table()
