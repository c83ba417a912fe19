"""Requests in, rankings out, with nothing but the folder of a version."""

import shutil
import time

import numpy as np
import pytest

from jd_tf.data.validation import RequestValidator
from jd_tf.schema import SERVING_ROLES, DataError
from jd_tf.serving.batching import pad_requests
from jd_tf.serving.client import RankingClient, SavedModelTransport
from jd_tf.serving.client.errors import (
    AnswerError,
    ClosedError,
    RequestError,
)
from jd_tf.serving.client.transport import Describe
from jd_tf.serving.errors import ExportError
from tests.requests import random_requests
from tests.serving.client.fake_transport import with_candidates

CLOSE = {"rtol": 1e-5, "atol": 1e-6}


@pytest.fixture(scope="module")
def client(exported):
    with RankingClient.from_saved_model(exported.folder.parent) as client:
        yield client


@pytest.fixture(scope="module")
def requests(exported):
    requests = random_requests(exported.schema, 7, seed=3)
    for request in requests:
        # Ids that tell candidates apart.
        count = len(request["item_id"])
        request["item_id"] = np.arange(101, 101 + count)
    return requests


def live(exported, request):
    schema = exported.schema
    checked = RequestValidator(schema, SERVING_ROLES).check(request)
    columns = schema.columns(*SERVING_ROLES)
    # As wide as can be: answers do not depend on padding.
    widths = {b.length: b.max_length for b in schema.behaviors}
    ranked = exported.model(pad_requests([checked], columns, widths))
    return ranked["score"].numpy()[0], ranked["probabilities"].numpy()[0]


@pytest.mark.slow
def test_no_first_call_is_slow(exported, requests):
    """Graphs are rewritten when the transport is made."""
    with RankingClient.from_saved_model(exported.folder) as client:
        seconds = []
        for request in (*requests[:2], requests[0]):
            start = time.perf_counter()
            client.rank(request)
            seconds.append(time.perf_counter() - start)
    assert client.stats()["calls"] == {
        "encode_and_rank": 2,
        "rank_candidates": 1,
    }
    assert max(seconds) < 0.2


def test_rankings_are_the_live_models_order(client, exported, requests):
    rankings = [client.rank(request, timeout=60.0) for request in requests]
    for number, (request, ranking) in enumerate(
        zip(requests, rankings, strict=True)
    ):
        assert ranking.request_id == number
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


def test_no_candidates_are_no_items(client, exported, requests):
    empty = with_candidates(requests[0], 0, exported.schema)
    nothing = client.rank(empty)
    assert len(nothing.item_ids) == 0
    assert nothing.probabilities.shape == (0, 3)
    assert "no candidates" in nothing.table()
    assert nothing.to_json()["items"] == []


def test_too_many_candidates_are_ranked_in_slices(client, exported, requests):
    schema = exported.schema
    many = with_candidates(requests[0], 3 * schema.max_candidates + 2, schema)
    ranking = client.rank(many, timeout=60.0)
    assert sorted(ranking.item_ids) == sorted(many["item_id"])
    score, _ = live(exported, many)
    np.testing.assert_allclose(ranking.scores, -np.sort(-score), **CLOSE)
    np.testing.assert_allclose(score[ranking.order], ranking.scores, **CLOSE)


def test_a_wrong_request_is_refused_and_the_next_is_ranked(client, requests):
    with pytest.raises(RequestError, match="`scenario` must hold int64"):
        client.rank({**requests[2], "scenario": "x"})
    assert len(client.rank(requests[0], timeout=60.0).item_ids)


def test_a_broken_model_is_not_believed(exported, requests, monkeypatch):
    transport = SavedModelTransport(exported.folder)
    whole = transport.model.call

    def broken(signature, inputs):
        if "item_id" not in inputs:
            return whole(signature, inputs)
        shape = inputs["item_id"].shape
        return {
            "score": np.full(shape, np.nan, "float32"),
            "probabilities": np.zeros((*shape, 3), "float32"),
        }

    monkeypatch.setattr(transport.model, "call", broken)
    with (
        RankingClient(transport) as client,
        pytest.raises(AnswerError, match="not finite"),
    ):
        client.rank(requests[0])
    with pytest.raises(ClosedError, match="Open a new client"):
        transport.call(Describe(), 1.0)


def test_wrong_calls_name_signature_and_inputs(exported):
    model = SavedModelTransport(exported.folder).model
    with pytest.raises(ExportError, match="no signature `predict`"):
        model.call("predict", {})
    with pytest.raises(ExportError, match=r"takes \['brand_id'.* got \['x'\]"):
        model.call("rank_candidates", {"x": 1})


def test_a_folder_without_schema_is_refused(exported, tmp_path):
    folder = shutil.copytree(exported.folder, tmp_path / "1")
    (folder / "assets.extra" / "schema.json").unlink()
    with pytest.raises(DataError, match=r"schema\.json: no such"):
        RankingClient.from_saved_model(folder)
