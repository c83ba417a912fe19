"""Quotas, exploration, pins and filters hold on random lists."""

import numpy as np
import pytest

from jd_tf.pipeline.reranking.item_likeness import SharedIds
from jd_tf.pipeline.reranking.rerank_config import Quota, RerankConfig
from jd_tf.pipeline.reranking.reranker import (
    BEST,
    NEW,
    NOVELTY,
    PINNED,
    Reranker,
)
from jd_tf.schema import DataError


@pytest.mark.parametrize("method", ["none", "mmr", "dpp"])
@pytest.mark.parametrize(("most", "window"), [(1, 3), (2, 5), (3, 0)])
def test_no_window_holds_more_than_its_quota(method, most, window):
    rng = np.random.default_rng(most)
    category, brand = rng.integers(1, 9, 60), rng.integers(1, 20, 60)
    quotas = (Quota("category", most, window), Quota("brand", 1, 4))
    config = RerankConfig(method, quotas=quotas)
    found = Reranker(config).rerank(
        rng.random(60),
        20,
        SharedIds([category]),
        {"category": category, "brand": brand},
    )
    for ids, limit, width in ((category, most, window), (brand, 1, 4)):
        shown = ids[found.order].tolist()
        width = width or len(shown)
        for start in range(len(shown) - width + 1):
            near = shown[start : start + width]
            assert max(near.count(value) for value in near) <= limit


def test_a_quota_passes_over_and_gives_way():
    category = np.array([5, 5, 5, 6])
    scores = np.array([4.0, 3.0, 2.0, 1.0])
    config = RerankConfig("none", quotas=(Quota("category", 1),))
    found = Reranker(config).rerank(scores, 4, None, {"category": category})
    assert found.order.tolist() == [0, 3, 1, 2]
    assert "over the quota of `category`" in found.reasons[1]
    assert "left within the quota of `category`" in found.reasons[2]


def test_where_no_item_fits_the_rules_are_broken_least():
    category = np.array([5, 5, 5, 5, 6, 6, 6])
    scores = np.arange(7, 0, -1.0)
    config = RerankConfig("none", quotas=(Quota("category", 1),))
    found = Reranker(config).rerank(scores, 7, None, {"category": category})
    # By turns, not by score, as long as there are both.
    assert found.order.tolist() == [0, 4, 1, 5, 2, 6, 3]


def test_items_without_a_value_are_not_limited():
    config = RerankConfig("none", quotas=(Quota("brand", 1),))
    for empty, dtype in ((0, int), (b"", object)):
        brand = np.full(4, empty, dtype)
        found = Reranker(config).rerank(np.ones(4), 4, None, {"brand": brand})
        assert found.reasons == (BEST,) * 4


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_the_exploration_share_is_met_at_every_place(share):
    rng = np.random.default_rng(0)
    new = rng.random(80) < 0.4
    scores = np.where(new, rng.random(80), 1 + rng.random(80))
    config = RerankConfig("none", exploration_share=share)
    found = Reranker(config).rerank(scores, 30, new=new)
    shown = new[found.order]
    for places in range(1, 31):
        assert shown[:places].sum() >= int(places * share + 1e-9)
    # No more than asked: they are worse.
    assert shown.sum() == int(30 * share + 1e-9)
    assert [r == NEW for r in found.reasons] == shown.tolist()


def test_exploration_ends_with_the_new_items():
    new = np.array([False, False, False, True])
    config = RerankConfig("none", exploration_share=1.0)
    found = Reranker(config).rerank(np.array([4.0, 3, 2, 1]), 4, new=new)
    assert found.order.tolist() == [3, 0, 1, 2]


def test_novelty_moves_items():
    scores, novelty = np.array([1.0, 0.6, 0.0]), np.array([0.0, 9.0, 9.0])
    config = RerankConfig("none", novelty_weight=0.5)
    found = Reranker(config).rerank(scores, 3, novelty=novelty)
    assert found.order.tolist() == [1, 0, 2]
    assert found.reasons[0] == NOVELTY
    with pytest.raises(ValueError, match="needs `novelty`"):
        Reranker(config).rerank(scores, 3)


def test_pins_and_filters():
    scores = np.arange(6, 0, -1.0)
    blocked = np.array([True, False, False, False, False, True])
    pins = {1: 4, 2: 0, 9: 3}
    reranker = Reranker(RerankConfig("none"))
    found = reranker.rerank(scores, 9, pins=pins, blocked=blocked)
    # Blocked although pinned; pinned beyond the end, so at the end.
    assert found.order.tolist() == [1, 4, 2, 3]
    assert [r == PINNED for r in found.reasons] == [False, True, False, True]
    assert len(reranker.rerank(scores, 9, blocked=np.ones(6, bool)).order) == 0
    for wrong in ({0: 6}, {0: 1, 1: 1}):
        with pytest.raises(ValueError, match="`pins` must name different"):
            reranker.rerank(scores, 3, pins=wrong)


def test_no_item_stands_twice_whatever_the_rules():
    rng = np.random.default_rng(4)
    for _ in range(20):
        number = int(rng.integers(1, 25))
        category = rng.integers(0, 4, number)
        config = RerankConfig(
            rng.choice(["none", "mmr", "dpp"]),
            quotas=(Quota("category", int(rng.integers(1, 3)), 4),),
            exploration_share=0.3,
            own_share=float(rng.choice([0.0, 0.2])),
            window=int(rng.integers(0, 5)),
        )
        blocked = rng.random(number) < 0.2
        found = Reranker(config).rerank(
            rng.random(number),
            30,
            SharedIds([category]),
            {"category": category},
            rng.random(number) < 0.3,
            pins={int(rng.integers(0, 9)): int(rng.integers(0, number))},
            blocked=blocked,
        )
        assert sorted(found.order) == np.flatnonzero(~blocked).tolist()
        assert len(found.reasons) == len(found.order)


def test_wrong_settings_and_shapes_are_refused():
    for field in ("relevance_weight", "own_share", "exploration_share"):
        with pytest.raises(DataError, match=f"`{field}` must be from 0 to 1"):
            RerankConfig(**{field: 1.5})
    with pytest.raises(DataError, match="one of none, mmr, dpp"):
        RerankConfig("random")
    with pytest.raises(DataError, match="quota of `x`"):
        Quota("x", 0)
    with pytest.raises(DataError, match="`window`"):
        RerankConfig(window=-1)
    config = RerankConfig("none", quotas=(Quota("brand", 1),))
    with pytest.raises(ValueError, match="quota of `brand` needs"):
        Reranker(config).rerank(np.ones(3), 3)
    with pytest.raises(ValueError, match="`blocked` must be"):
        Reranker(RerankConfig("none")).rerank(np.ones(3), 3, blocked=np.ones(2))
