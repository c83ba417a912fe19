"""Re-ranking reads what it needs from the catalogue, or says what lacks."""

import numpy as np
import pytest

from jd_tf.pipeline.reranking.item_likeness import SharedIds, VectorLikeness
from jd_tf.pipeline.reranking.rerank_config import Quota, RerankConfig
from jd_tf.pipeline.reranking.reranker import PINNED, Reranker
from jd_tf.pipeline.stages.rerank_stage import ItemRules, RerankStage
from jd_tf.pipeline.stages.stage import ScoredItems, UserRequest
from jd_tf.schema import DataError
from tests.pipeline.shop import NUM_ITEMS, catalogue

RULES = ItemRules(likeness=("category_id", "brand_id"))
FEATURES = ("price", "age")


def scored(seed=0, count=30):
    rng = np.random.default_rng(seed)
    ids = rng.permutation(NUM_ITEMS)[:count] + 1
    return ScoredItems(ids, np.sort(rng.random(count))[::-1])


def order(stage, items, count=10, pins=None):
    return stage.order(UserRequest({}, {}, pins or {}), items, count, 1.0)


def test_items_are_alike_by_ids_or_by_vectors():
    items, shop = scored(), catalogue()
    rows = items.item_id - 1
    config = RerankConfig("dpp", 0.4)
    ids = SharedIds([shop.columns[n][rows] for n in RULES.likeness])
    expected = Reranker(config).rerank(items.score, 10, ids)
    found = order(RerankStage(shop, config, RULES), items)
    assert found.item_id.tolist() == items.item_id[expected.order].tolist()
    assert found.score.tolist() == items.score[expected.order].tolist()
    assert tuple(found.notes["reason"]) == expected.reasons
    vectors = np.random.default_rng(1).normal(size=(NUM_ITEMS, 4))
    by_vector = VectorLikeness(vectors[rows])
    expected = Reranker(config).rerank(items.score, 10, by_vector)
    # Columns of likeness are not read then.
    rules = ItemRules(likeness=("colour",))
    found = order(RerankStage(shop, config, rules, vectors=vectors), items)
    assert found.item_id.tolist() == items.item_id[expected.order].tolist()


def test_new_items_are_those_of_a_low_feature():
    items, shop = scored(), catalogue()
    age = shop.columns["item_dense"][:, 1]
    limit = float(np.quantile(age, 0.3))
    rules = ItemRules(("category_id",), "age", limit)
    config = RerankConfig("none", exploration_share=0.5)
    found = order(RerankStage(shop, config, rules, FEATURES), items)
    new = age[found.item_id - 1] <= limit
    for places in range(1, 11):
        assert new[:places].sum() >= places // 2


def test_familiar_items_are_less_novel():
    items, shop = scored(), catalogue()
    rules = ItemRules(("category_id",), familiar_feature="price")
    config = RerankConfig("none", novelty_weight=1.0)
    found = order(RerankStage(shop, config, rules, FEATURES), items)
    price = shop.columns["item_dense"][found.item_id - 1, 0]
    assert (np.diff(price) >= 0).all()


def test_quotas_and_pins_go_by_ids():
    items, shop = scored(), catalogue()
    config = RerankConfig("none", quotas=(Quota("category_id", 2),))
    stage = RerankStage(shop, config, RULES)
    pinned = int(items.item_id[-1])
    absent = next(i for i in range(1, 61) if i not in items.item_id)
    found = order(stage, items, pins={1: pinned, 0: absent})
    assert found.item_id[1] == pinned
    assert found.notes["reason"][1] == PINNED
    categories = shop.columns["category_id"][found.item_id - 1].tolist()
    assert max(categories.count(one) for one in categories) <= 2


@pytest.mark.parametrize(
    ("config", "rules", "message"),
    [
        (None, ItemRules(("colour",)), "reads `colour`"),
        (RerankConfig(quotas=(Quota("shop_id", 1),)), RULES, "`shop_id`"),
        (None, ItemRules(("category_id",), "heat"), "the feature `heat`"),
        (
            None,
            ItemRules(("category_id",), familiar_feature="fame"),
            "the feature `fame`",
        ),
    ],
)
def test_what_the_catalogue_has_not_is_named(config, rules, message):
    with pytest.raises(DataError, match=message):
        RerankStage(catalogue(), config, rules, FEATURES)
