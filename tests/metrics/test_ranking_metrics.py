"""Ranking metrics against loops, scikit-learn and invariants."""

import time

import numpy as np
import pytest
from sklearn.metrics import ndcg_score, roc_auc_score

from jd_tf.metrics import ranking_metrics as metrics
from tests.metrics import references


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def _impressions(rng, size=400, num_groups=60, levels=7):
    """Flat impressions with many ties and some groups of one class."""
    scores = rng.integers(-levels, levels, size).astype(np.float32) / 3
    labels = (rng.random(size) < 0.3).astype(np.float32)
    return scores, labels, rng.integers(0, num_groups, size)


def test_auc_equals_scikit_learn_with_ties_and_weights(rng):
    scores, labels, _ = _impressions(rng)
    weights = rng.random(len(scores))
    assert metrics.auc(scores, labels) == pytest.approx(
        roc_auc_score(labels, scores)
    )
    assert metrics.auc(scores, labels, weights) == pytest.approx(
        roc_auc_score(labels, scores, sample_weight=weights)
    )


def test_auc_equals_the_loop(rng):
    scores, labels, _ = _impressions(rng, size=60)
    weights = rng.random(60)
    assert metrics.auc(scores, labels, weights) == pytest.approx(
        references.auc(scores, labels, weights)
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_gauc_equals_the_loop(rng, weighted):
    scores, labels, groups = _impressions(rng)
    weights = rng.random(len(scores)) if weighted else None
    found = metrics.group_auc(scores, labels, groups, 60, weights)
    assert found.mean() == pytest.approx(
        references.gauc(scores, labels, groups, weights)
    )
    classes = [set(labels[groups == g].tolist()) for g in range(60)]
    assert found.defined.tolist() == [len(c) == 2 for c in classes]
    assert 0 < found.defined.sum() < 60


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_is_undefined(label):
    labels = np.full(5, label)
    assert np.isnan(metrics.auc(np.arange(5.0), labels))
    groups = np.array([0, 0, 1, 1, 1])
    found = metrics.group_auc(np.arange(5.0), labels, groups, 2)
    assert np.isnan(found.value).all()
    assert np.isnan(found.mean())


def test_nothing_at_all_is_undefined():
    none = np.zeros(0, np.float32)
    groups = np.zeros(0, np.int64)
    assert np.isnan(metrics.auc(none, none))
    assert np.isnan(metrics.group_auc(none, none, groups, 3).mean())
    assert np.isnan(metrics.ndcg(none, none, groups, 3))
    assert not metrics.group_gain_at(none, none, groups, 3).any()


def test_constant_scores_have_an_auc_of_one_half():
    labels = np.array([1, 0, 0, 1, 0])
    assert metrics.auc(np.ones(5), labels) == 0.5


def test_extreme_and_signed_zero_scores():
    scores = np.array([-np.inf, -1e30, -0.0, 0.0, 1e-40, np.inf], np.float32)
    labels = np.array([0, 1, 0, 1, 0, 1])
    assert metrics.auc(scores, labels) == pytest.approx(
        references.auc(scores, labels)
    )


def test_double_precision_scores_keep_their_order():
    scores = 1.0 + np.array([0, 1, 2, 3]) * 1e-12
    assert metrics.auc(scores, np.array([0, 0, 1, 1])) == 1.0
    assert metrics.auc(scores.astype(np.float32), np.array([0, 0, 1, 1])) == 0.5


@pytest.mark.parametrize("k", [1, 3, 10])
def test_ndcg_equals_scikit_learn_with_ties(rng, k):
    scores = rng.integers(0, 4, (50, 12)).astype(np.float32)
    gains = rng.integers(0, 3, (50, 12)) * rng.random((50, 12))
    gains[:5] = 0.0
    flat = scores.ravel(), gains.ravel(), np.repeat(np.arange(50), 12), 50
    found = metrics.group_ndcg(*flat, k=k)
    assert np.isnan(found[:5]).all()
    for row in range(5, 50):
        expected = ndcg_score(gains[row : row + 1], scores[row : row + 1], k=k)
        assert found[row] == pytest.approx(expected)
    assert metrics.ndcg(*flat, k=k) == pytest.approx(found[5:].mean())


def test_ndcg_and_gain_equal_the_mean_over_orders(rng):
    for _ in range(10):
        scores = rng.integers(0, 3, 6).astype(np.float32)
        gains = rng.integers(0, 3, 6).astype(float)
        gains[0] = 1.0
        for k in (1, 2, 4):
            assert metrics.ndcg(scores, gains, k=k) == pytest.approx(
                references.ndcg(scores, gains, k)
            )
            (found,) = metrics.group_gain_at(scores, gains, k=k)
            assert found == pytest.approx(references.gain_at(scores, gains, k))


def test_reciprocal_rank_equals_the_mean_over_orders(rng):
    scores = rng.integers(0, 3, (20, 6)).astype(np.float32)
    labels = np.zeros((20, 6))
    labels[np.arange(20), rng.integers(0, 6, 20)] = 1.0
    labels[3], labels[7] = 0.0, 1.0  # none, and more than one
    found = metrics.group_reciprocal_rank(
        scores.ravel(), labels.ravel(), np.repeat(np.arange(20), 6), 20
    )
    for row, value in enumerate(found):
        if row in (3, 7):
            assert np.isnan(value)
        else:
            expected = references.reciprocal_rank(scores[row], labels[row])
            assert value == pytest.approx(expected)


def test_a_constant_scorer_hits_by_chance_alone():
    labels = np.zeros(100)
    labels[0] = 1.0  # where a stable sort would put it first
    judged = (np.ones(100), labels)
    assert metrics.group_gain_at(*judged, k=10) == pytest.approx([0.1])
    chance = np.mean(1 / np.arange(1, 101))
    assert metrics.group_reciprocal_rank(*judged) == pytest.approx([chance])


def test_the_order_of_the_input_does_not_matter(rng):
    scores, labels, groups = _impressions(rng)
    gains, shuffle = labels * rng.random(400), rng.permutation(400)
    for judge in (
        lambda s, y, v, g: metrics.auc(s, y),
        lambda s, y, v, g: metrics.group_auc(s, y, g, 60).mean(),
        lambda s, y, v, g: metrics.ndcg(s, v, g, 60),
        lambda s, y, v, g: metrics.group_gain_at(s, v, g, 60).sum(),
        lambda s, y, v, g: np.nansum(
            metrics.group_reciprocal_rank(s, y, g, 60)
        ),
    ):
        columns = (scores, labels, gains, groups)
        assert judge(*columns) == pytest.approx(
            judge(*(column[shuffle] for column in columns))
        )


def test_raising_scores_of_a_whole_group_changes_auc_only(rng):
    scores, labels, groups = _impressions(rng)
    raised = np.where(groups < 20, scores + 100, scores).astype(np.float32)
    before = metrics.group_auc(scores, labels, groups, 60)
    after = metrics.group_auc(raised, labels, groups, 60)
    np.testing.assert_array_equal(before.value, after.value)
    assert metrics.auc(scores, labels) != metrics.auc(raised, labels)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.auc(np.array([np.nan, 1.0]), [0, 1]), "1 of 2 .* nan"),
        (lambda: metrics.auc(np.ones(2), [0, 0.5]), "0 or 1. Got: 0.5"),
        (lambda: metrics.ndcg(np.ones(2), [np.nan, 1]), "must be finite"),
        (
            lambda: metrics.ndcg(np.ones(2), [1, 0], np.array([0, 7]), 2),
            r"0\.\.1. Got: 0\.\.7",
        ),
    ],
)
def test_nonsense_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.slow
def test_ten_million_impressions_take_less_than_ten_seconds(rng):
    size, num_requests, num_users = 10_000_000, 1_000_000, 200_000
    request = np.repeat(np.arange(num_requests), 10)
    user = np.repeat(rng.integers(0, num_users, num_requests), 10)
    scores = rng.random(size, np.float32)
    labels = (rng.random(size, np.float32) < 0.1 * scores).astype(np.float32)
    began = time.perf_counter()
    metrics.auc(scores, labels)
    metrics.group_auc(scores, labels, request, num_requests).mean()
    metrics.group_auc(scores, labels, user, num_users).mean()
    metrics.ndcg(scores, labels, request, num_requests)
    assert time.perf_counter() - began < 10
