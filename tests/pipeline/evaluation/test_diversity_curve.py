"""The curve of value against diversity, and what may be read off it."""

import itertools

import numpy as np
import pytest

from jd_tf.metrics import Bootstrap
from jd_tf.pipeline.evaluation.diversity_curve import (
    diversity_curve,
    gain_within,
    list_distance,
)
from jd_tf.pipeline.evaluation.pipeline_pictures import curve_picture
from jd_tf.pipeline.reranking.item_likeness import VectorLikeness
from jd_tf.pipeline.stages.rerank_stage import ItemRules, RerankStage
from jd_tf.pipeline.stages.stage import ScoredItems
from tests.pipeline.shop import NUM_ITEMS, catalogue

COUNT = 8


@pytest.fixture(scope="module")
def points():
    rng = np.random.default_rng(1)
    rules = ItemRules(likeness=("category_id", "brand_id"))
    lists = []
    for _ in range(12):
        ids = rng.permutation(NUM_ITEMS)[:25] + 1
        lists.append(ScoredItems(ids, np.sort(rng.gamma(2, 1, 25))[::-1]))
    stage = RerankStage(catalogue(), rules=rules)
    return diversity_curve(lists, stage, Bootstrap(12), COUNT, 0, [1, 3])


def test_the_order_by_score_keeps_all(points):
    first = points[0]
    assert (first.method, first.value_kept) == ("score", 1.0)
    assert first.discounted_kept == 1.0
    for point in points[1:]:
        assert point.value_kept <= 1.0 + 1e-9
        assert point.value_interval[0] <= point.value_kept + 1e-9


def test_diversity_costs_value(points):
    for method in ("mmr", "dpp"):
        mine = [p for p in points if p.method == method]
        assert len(mine) > 5
        by_weight = sorted(mine, key=lambda point: point.setting)
        assert by_weight[0].distance > by_weight[-1].distance
        assert by_weight[0].value_kept < by_weight[-1].value_kept
        assert by_weight[0].distance > points[0].distance


def test_quotas_limit_categories(points):
    one, three = (p for p in points if p.method == "quota")
    # Some lists have no item of one of the eight categories.
    assert one.entropy > np.log2(COUNT - 1)
    assert one.value_kept <= three.value_kept
    assert one.entropy >= three.entropy


def test_what_is_gained_within_a_loss(points):
    found = gain_within(points, "dpp", 0.05)
    allowed = [
        p.distance for p in points if p.method == "dpp" and p.value_kept >= 0.95
    ]
    assert found is None or found.distance == max(allowed)
    assert gain_within(points, "dpp", -1.0) is None


def test_list_distance_is_the_mean_over_pairs():
    vectors = np.random.default_rng(2).normal(size=(9, 4))
    order = np.array([3, 0, 7, 5])
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = itertools.combinations(order.tolist(), 2)
    expected = np.mean([1 - unit[i] @ unit[j] for i, j in pairs])
    found = list_distance(VectorLikeness(vectors), order)
    assert found == pytest.approx(expected)
    assert np.isnan(list_distance(VectorLikeness(vectors), order[:1]))


def test_the_picture_says_what_it_shows(points):
    picture = curve_picture(points)
    assert picture.png.startswith(b"\x89PNG")
    assert "dpp 0.5" in picture.alt
