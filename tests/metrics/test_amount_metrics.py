"""Metrics of amounts against loops and scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import mean_poisson_deviance

from jd_tf.metrics import amount_metrics as metrics
from jd_tf.metrics.ranking_metrics import group_auc


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def _amounts(rng, size=300):
    """Predictions, labels with many zeros and ties, weights."""
    labels = rng.gamma(0.3, 40.0, size).round() * (rng.random(size) < 0.5)
    return rng.gamma(2.0, 3.0, size), labels, rng.choice([0.5, 1.0, 3.0], size)


def _concordance(scores, labels, weights):
    """One group, pair by pair."""
    right = total = 0.0
    for i in range(len(labels)):
        for j in range(len(labels)):
            if labels[i] > labels[j]:
                pair = weights[i] * weights[j]
                total += pair
                right += pair * (scores[i] > scores[j])
                right += 0.5 * pair * (scores[i] == scores[j])
    return right / total if total else np.nan


@pytest.mark.parametrize("weighted", [False, True])
def test_concordance_equals_all_pairs(rng, weighted):
    scores, labels, weights = _amounts(rng)
    scores = scores.round()
    weights = weights if weighted else np.ones(len(labels))
    groups = rng.integers(0, 40, len(labels))
    groups[groups == 3] = 4  # an empty one
    labels[groups == 5] = 8.0  # of one amount
    found = metrics.group_concordance(
        scores, labels, groups, 40, weights if weighted else None
    )
    wanted = [
        _concordance(*(part[groups == g] for part in (scores, labels, weights)))
        for g in range(40)
    ]
    np.testing.assert_allclose(found.value, wanted, rtol=1e-12)
    assert np.isnan(found.value[[3, 5]]).all()
    mass = [weights[groups == g].sum() for g in range(40)]
    np.testing.assert_allclose(found.weight, mass)
    known = ~np.isnan(wanted)
    mean = np.average(np.array(wanted)[known], weights=np.array(mass)[known])
    assert found.mean() == pytest.approx(mean)


def test_concordance_of_outcomes_is_their_auc(rng):
    scores, labels, weights = _amounts(rng)
    labels, groups = labels > 0, rng.integers(0, 30, len(labels))
    one, other = (
        judge(scores, labels.astype(float), groups, 30, weights)
        for judge in (metrics.group_concordance, group_auc)
    )
    np.testing.assert_allclose(one.value, other.value)
    np.testing.assert_allclose(one.weight, other.weight)


def test_no_impression_is_undefined():
    nothing = np.zeros(0)
    for judge in (
        metrics.mean_absolute_error,
        metrics.amount_ratio,
        metrics.relative_deviance,
    ):
        assert np.isnan(judge(nothing, nothing))
    found = metrics.group_concordance(nothing, nothing, nothing.astype(int), 2)
    assert np.isnan(found.value).all()


@pytest.mark.parametrize("weighted", [False, True])
def test_numbers_equal_those_of_scikit_learn_and_loops(rng, weighted):
    amounts, labels, weights = _amounts(rng)
    given = weights if weighted else None
    weights = weights if weighted else np.ones(len(labels))
    mean = sum(weights * labels) / sum(weights)
    deviance, constant = (
        mean_poisson_deviance(labels, one, sample_weight=weights)
        for one in (amounts, np.full(len(labels), mean))
    )
    found = metrics.relative_deviance(amounts, labels, given)
    assert found == pytest.approx(deviance / constant)
    half = metrics.constant_deviance(labels, given)
    assert half == pytest.approx(constant / 2)
    apart = sum(
        w * abs(a - y) for a, y, w in zip(amounts, labels, weights, strict=True)
    )
    found = metrics.mean_absolute_error(amounts, labels, given)
    assert found == pytest.approx(apart / sum(weights))
    ratio = sum(weights * amounts) / sum(weights * labels)
    assert metrics.amount_ratio(amounts, labels, given) == pytest.approx(ratio)


def test_the_unit_does_not_matter(rng):
    amounts, labels, weights = _amounts(rng)
    seconds = metrics.relative_deviance(amounts, labels, weights)
    hours = metrics.relative_deviance(amounts / 3600, labels / 3600, weights)
    assert seconds == pytest.approx(hours)


def test_nothing_expected_is_wrong_but_finite():
    labels = np.array([0.0, 4.0])
    found = metrics.relative_deviance(np.zeros(2), labels)
    assert 1 < found < np.inf
    assert np.isnan(metrics.relative_deviance(np.ones(2), np.zeros(2)))
    assert np.isnan(metrics.amount_ratio(np.ones(2), np.zeros(2)))
