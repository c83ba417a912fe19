"""MMR and DPP equal literal versions on random lists."""

import numpy as np
import pytest

from jd_tf.pipeline.reranking.item_likeness import SharedIds, VectorLikeness
from jd_tf.pipeline.reranking.rerank_config import RerankConfig
from jd_tf.pipeline.reranking.reranker import BEST, DIVERSITY, Reranker
from tests.pipeline.reranking import literal

COUNT = 14


def scaled(scores):
    return (scores - scores.min()) / (scores.max() - scores.min())


def items(seed, number=30, width=9):
    rng = np.random.default_rng(seed)
    # Not centred: the more alike, the more there is to do.
    return rng.gamma(1, 1, number), rng.normal(0.5, 1, (number, width))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("window", [0, 1, 2, 5])
@pytest.mark.parametrize("own_share", [0.0, 0.1])
def test_dpp_equals_determinants(seed, window, own_share):
    scores, vectors = items(seed, width=20)
    weight = (0.0, 0.3, 0.7, 1.0)[seed]
    config = RerankConfig("dpp", weight, window, own_share)
    found = Reranker(config).rerank(scores, COUNT, VectorLikeness(vectors))
    relevance = scaled(scores)
    expected = literal.determinantal(
        relevance, vectors, weight, window, own_share, COUNT
    )
    assert found.order.tolist() == expected


@pytest.mark.parametrize("seed", range(3))
def test_dpp_of_more_places_than_dimensions(seed):
    """All volume is spent after as many items as the vectors have numbers."""
    scores, vectors = items(seed, width=4)
    for window in (0, 4):
        config = RerankConfig("dpp", 0.4, window, 0.0)
        found = Reranker(config).rerank(scores, COUNT, VectorLikeness(vectors))
        expected = literal.determinantal(
            scaled(scores), vectors, 0.4, window, 0.0, COUNT
        )
        # Without a window, by relevance from the fifth place on.
        assert found.order.tolist() == expected


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("window", [0, 1, 2, 4])
def test_mmr_equals_the_loop(seed, window):
    scores, vectors = items(seed)
    weight = (0.0, 0.3, 0.7, 1.0)[seed]
    config = RerankConfig("mmr", weight, window)
    found = Reranker(config).rerank(scores, COUNT, VectorLikeness(vectors))
    relevance = scaled(scores)
    expected = literal.marginal(relevance, vectors, weight, window, COUNT)
    assert found.order.tolist() == expected


def test_shared_ids_are_one_hot_vectors():
    rng = np.random.default_rng(1)
    ids = rng.integers(0, 4, (2, 20))
    one_hot = np.concatenate([np.eye(4)[column][:, 1:] for column in ids], 1)
    shared, vectors = SharedIds(list(ids)), VectorLikeness(one_hot)
    for item in range(20):
        np.testing.assert_allclose(shared.row(item), vectors.row(item))
    assert len(shared) == len(vectors) == 20
    texts = SharedIds([np.array([b"x", b"", b"x", b""], object)])
    assert texts.row(0).tolist() == [1, 0, 1, 0]
    assert texts.row(1).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("method", ["mmr", "dpp"])
def test_zero_vectors_and_equal_items(method):
    """An unknown item is like nothing; equal items are kept apart."""
    vectors = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    scores = np.array([4.0, 3.9, 3.8, 3.7])
    reranker = Reranker(RerankConfig(method, 0.5, 3))
    found = reranker.rerank(scores, 4, VectorLikeness(vectors))
    assert found.order.tolist() == [0, 2, 3, 1]
    assert found.reasons == (BEST, DIVERSITY, DIVERSITY, BEST)


@pytest.mark.parametrize("method", ["none", "mmr", "dpp"])
def test_ties_keep_the_order_given(method):
    scores = np.array([1.0, 2.0, 2.0, 1.0, 2.0])
    alike = SharedIds([np.arange(1, 6)])
    found = Reranker(RerankConfig(method)).rerank(scores, 9, alike)
    assert found.order.tolist() == [1, 2, 4, 0, 3]
    same = Reranker(RerankConfig(method)).rerank(np.ones(5), 5, alike)
    assert same.order.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("method", ["none", "mmr", "dpp"])
def test_empty_and_short_lists(method):
    reranker = Reranker(RerankConfig(method))
    nothing = SharedIds([np.zeros(0, int)])
    assert not len(reranker.rerank(np.zeros(0), 5, nothing).order)
    one = reranker.rerank(np.ones(1), 5, SharedIds([np.ones(1, int)]))
    assert one.order.tolist() == [0]
    assert not len(
        reranker.rerank(np.ones(1), 0, SharedIds([np.ones(1)])).order
    )


def test_numbers_that_are_not_finite_are_refused():
    bad = np.ones((3, 2))
    bad[1, 0] = np.nan
    with pytest.raises(ValueError, match=r"nan at \[1, 0\]"):
        VectorLikeness(bad)
    with pytest.raises(ValueError, match=r"`score` must be .* inf"):
        Reranker().rerank(np.array([1.0, np.inf]), 2, SharedIds([np.ones(2)]))
    with pytest.raises(ValueError, match="needs the likeness of 2 items"):
        Reranker().rerank(np.ones(2), 2)


def test_a_long_list_stays_exact():
    """Rounding does not pile up as the window moves over 200 places."""
    rng = np.random.default_rng(9)
    vectors = rng.normal(size=(260, 30))
    scores = rng.random(260)
    config = RerankConfig("dpp", 0.5, 6, 0.01)
    found = Reranker(config).rerank(scores, 200, VectorLikeness(vectors))
    expected = literal.determinantal(scaled(scores), vectors, 0.5, 6, 0.01, 200)
    assert found.order.tolist() == expected
