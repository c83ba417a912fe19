"""The bootstrap against explicit resampling, and its coverage."""

import numpy as np
import pytest

from jd_tf.metrics import ranking_metrics as metrics
from jd_tf.metrics.bootstrap import Bootstrap, interval


def _clicks(seed, num_requests=150, width=8):
    """Requests whose scores share an offset: impressions are dependent."""
    rng = np.random.default_rng(seed)
    taste = rng.normal(0, 1.0, (num_requests, 1))
    truth = taste + rng.normal(0, 1, (num_requests, width))
    labels = rng.random(truth.shape) < 1 / (1 + np.exp(2 - truth))
    scores = truth + rng.normal(0, 1, truth.shape)
    request = np.repeat(np.arange(num_requests), width)
    return scores.ravel(), labels.ravel(), request


@pytest.mark.parametrize("weighted", [False, True])
def test_aucs_equal_explicit_resamples(weighted):
    scores, labels, request = _clicks(0)
    scores = np.round(scores)
    weights = np.random.default_rng(1).random(len(scores))
    weights = weights if weighted else None
    users = np.random.default_rng(2).integers(0, 40, 150)
    bootstrap = Bootstrap(150, users, num_replicates=5)
    found = bootstrap.aucs(scores, labels, request, weights)
    for counts, value in zip(bootstrap.counts, found, strict=True):
        assert counts.sum() == bootstrap.num_clusters
        rows = np.repeat(np.arange(len(scores)), counts[users[request]])
        expected = metrics.auc(
            scores[rows], labels[rows], weights[rows] if weighted else None
        )
        assert value == pytest.approx(expected)


def test_means_equal_explicit_resamples():
    rng = np.random.default_rng(3)
    values, weights = rng.random(50), rng.random(50)
    values[::7] = np.nan
    users = np.arange(50) // 2
    bootstrap = Bootstrap(50, users, num_replicates=4)
    found = bootstrap.means(values, weights)
    for counts, value in zip(bootstrap.counts, found, strict=True):
        rows = np.repeat(np.arange(50), counts[users])
        rows = rows[~np.isnan(values[rows])]
        expected = np.average(values[rows], weights=weights[rows])
        assert value == pytest.approx(expected)


def test_seeded():
    same, again, other = (Bootstrap(30, seed=s).counts for s in (1, 1, 2))
    np.testing.assert_array_equal(same, again)
    assert (same != other).any()


def test_intervals_cover_the_truth():
    truth = metrics.auc(*_clicks(99, num_requests=50_000)[:2])
    covered = 0
    for seed in range(100):
        drawn = Bootstrap(150, seed=seed).aucs(*_clicks(seed))
        low, high = interval(drawn, confidence=0.9)
        covered += low <= truth <= high
    # 90 expected; 4 standard errors of a binomial either side.
    assert 78 <= covered <= 100


def test_clusters_widen_intervals_of_dependent_impressions():
    rng = np.random.default_rng(5)
    liked, mood = rng.normal(0, 2, (2, 400))
    scores = np.repeat(liked, 8)
    rate = 1 / (1 + np.exp(-liked - mood))
    labels = rng.random(3200) < np.repeat(rate, 8)
    widths = []
    for size in (1, 8):
        request = np.arange(3200) // size
        drawn = Bootstrap(3200 // size).aucs(scores, labels, request)
        low, high = interval(drawn)
        widths.append(high - low)
    assert widths[1] > 1.5 * widths[0]


def test_undefined_replicates_make_an_undefined_interval():
    assert np.isnan(interval(np.array([np.nan] * 30 + [0.5] * 70))).all()
    low, high = interval(np.array([np.nan] * 5 + [0.5] * 95))
    assert (low, high) == (0.5, 0.5)
    labels, request = np.array([1, 0, 0, 0]), np.array([0, 0, 1, 1])
    drawn = Bootstrap(2).aucs(np.arange(4.0), labels, request)
    assert np.isnan(interval(drawn)).all()
