"""Tests of the metrics of recalled lists against loops."""

import numpy as np
import pytest

from jd_tf.metrics import (
    coverage,
    found_at,
    group_gain_at,
    group_ndcg,
    hit_rate_at,
    list_ndcg_at,
    novelty,
    recall_at,
)


def random_case(seed=0, size=40, num_items=30, width=12):
    generator = np.random.default_rng(seed)
    lists = np.stack(
        [generator.permutation(num_items)[:width] + 1 for _ in range(size)]
    )
    lists[generator.random((size, 1)) * width < np.arange(width)] = 0
    wanted = np.stack(
        [generator.permutation(num_items)[:4] + 1 for _ in range(size)]
    )
    wanted[np.arange(4) >= generator.integers(0, 5, (size, 1))] = 0
    return lists, wanted


@pytest.mark.parametrize("k", [1, 3, 10, 50])
def test_metrics_equal_loops(k):
    lists, wanted = random_case()
    places = found_at(lists, wanted)
    counted = (wanted != 0) & (wanted % 3 > 0)
    recall = recall_at(places, counted, k)
    rate, ndcg = (
        hit_rate_at(places, counted, k),
        list_ndcg_at(places, counted, k),
    )
    for row in range(len(lists)):
        mine = [i for i in wanted[row].tolist() if i and i % 3]
        first = lists[row, :k].tolist()
        if not mine:
            assert np.isnan([recall[row], rate[row], ndcg[row]]).all()
            continue
        assert recall[row] == np.mean([i in first for i in mine])
        assert rate[row] == any(i in first for i in mine)
        gain = sum(1 / np.log2(2 + first.index(i)) for i in mine if i in first)
        ideal = sum(1 / np.log2(2 + p) for p in range(min(len(mine), k)))
        assert ndcg[row] == pytest.approx(gain / ideal)


def test_one_wanted_item_agrees_with_metrics_of_scores():
    """HR and NDCG of a full ranking, by scores of every item."""
    generator = np.random.default_rng(3)
    scores = generator.random((20, 50))
    wanted = generator.integers(0, 50, 20)
    order = np.argsort(-scores, axis=1)
    places = found_at(order, wanted[:, None], padding=-1)
    counted = np.ones((20, 1), bool)
    labels = np.zeros(scores.shape)
    labels[np.arange(20), wanted] = 1
    flat = scores.ravel(), labels.ravel(), np.repeat(np.arange(20), 50), 20
    np.testing.assert_allclose(
        hit_rate_at(places, counted, 10), group_gain_at(*flat, 10)
    )
    np.testing.assert_allclose(
        list_ndcg_at(places, counted, 10), group_ndcg(*flat, 10)
    )


def test_texts_are_found_and_padding_is_not():
    lists = np.array([[b"a", b"b", b""]], object)
    wanted = np.array([[b"b", b"", b"c"]], object)
    assert found_at(lists, wanted, padding=b"").tolist() == [[2, 0, 0]]


def test_coverage_counts_items_not_padding():
    lists = np.array([[1, 2, 0], [2, 0, 0]])
    assert coverage(lists, lists != 0, 8) == 2 / 8


def test_novelty_is_the_mean_surprise():
    popularity = np.array([[8, 1, 99], [0, 99, 99], [99, 99, 99]])
    present = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0]], bool)
    found = novelty(popularity, present, num_users=16)
    np.testing.assert_allclose(found[:2], [(1 + 4) / 2, 5])
    assert np.isnan(found[2])
