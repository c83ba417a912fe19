"""Approximate answers: exact where all lists are visited."""

import sys

import numpy as np
import pytest

from jd_tf.models.retrieval.two_tower import TwoTower
from jd_tf.models.retrieval.two_tower_config import TwoTowerConfig
from jd_tf.pipeline.approximate_retriever import ApproximateRetriever
from jd_tf.pipeline.export.retrieval_export import ServedRetriever
from jd_tf.pipeline.two_tower_channel import TwoTowerChannel
from jd_tf.schema import DataError
from tests.models.test_jd_ranker import batch_of, moved
from tests.pipeline.export.test_retrieval_export import SCHEMAS, catalogue_of
from tests.requests import random_requests

ITEMS, COUNT = 400, 15


@pytest.fixture(scope="module", params=SCHEMAS)
def parts(request):
    """A live retriever, its catalogue and a batch of requests."""
    schema = SCHEMAS[request.param]
    config = TwoTowerConfig.of(
        model_dim=8, feedforward_dim=8, num_encoder_layers=1, num_interests=3
    )
    model = moved(TwoTower(schema, config))
    catalogue = catalogue_of(schema, ITEMS)
    tensors = batch_of(random_requests(schema, 6), schema)
    batch = {name: tensor.numpy() for name, tensor in tensors.items()}
    return ServedRetriever(model, catalogue, COUNT), catalogue, batch


def test_all_lists_hold_what_an_exact_search_finds(parts):
    pytest.importorskip("faiss")
    served, catalogue, batch = parts
    near = ApproximateRetriever(served, catalogue, COUNT, 6, num_probes=6)
    excluded = np.stack([catalogue.item_id[:9]] * 6)
    one, two = (
        TwoTowerChannel(retriever).recall(batch, COUNT, excluded)
        for retriever in (served, near)
    )
    assert one.item_id.tolist() == two.item_id.tolist()
    assert one.length.tolist() == two.length.tolist()
    np.testing.assert_allclose(one.score, two.score, rtol=1e-4)


def test_a_few_lists_hold_most_of_it(parts):
    pytest.importorskip("faiss")
    served, catalogue, batch = parts
    near = ApproximateRetriever(served, catalogue, COUNT, 10, num_probes=3)
    one, two = (
        TwoTowerChannel(retriever).recall(batch, COUNT)
        for retriever in (served, near)
    )
    shares = [
        len(set(a) & set(b)) / COUNT
        for a, b in zip(
            one.item_id.tolist(), two.item_id.tolist(), strict=False
        )
    ]
    assert 0.3 < np.mean(shares) <= 1.0
    for row in two.item_id.tolist():
        assert len(set(row)) == COUNT


def test_says_how_to_get_faiss(parts, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    served, catalogue, _ = parts
    with pytest.raises(DataError, match=r"jd_tf\[approximate\]"):
        ApproximateRetriever(served, catalogue, COUNT)
