"""Paired significance against SciPy and planted effects."""

import numpy as np
import pytest
from scipy import stats

from jd_tf.evaluation.ablations.comparison import paired_difference


def test_without_resamples_it_is_the_paired_t_test():
    rng = np.random.default_rng(0)
    one, other = rng.random((2, 5))
    found = paired_difference(one, other)
    expected = stats.ttest_rel(one, other)
    assert found["p_value"] == pytest.approx(expected.pvalue)
    assert found["standard_errors"] == pytest.approx(expected.statistic)
    low, high = expected.confidence_interval()
    assert (found["low"], found["high"]) == pytest.approx((low, high))


def test_users_are_resampled_once_for_all_seeds():
    rng = np.random.default_rng(1)
    one, other = rng.random((2, 3))
    drawn, drawn_other = rng.random((2, 3, 40))
    found = paired_difference(one, other, drawn, drawn_other)
    means = [
        sum(drawn[s, b] - drawn_other[s, b] for s in range(3)) / 3
        for b in range(40)
    ]
    assert found["resampling_error"] == pytest.approx(np.std(means, ddof=1))
    seeds = np.std(one - other, ddof=1) / np.sqrt(3)
    both = found["resampling_error"] ** 2 + seeds**2
    assert found["standard_error"] == pytest.approx(np.sqrt(both))
    degrees = 2 * both**2 / seeds**4
    expected = 2 * stats.t.sf(abs(found["standard_errors"]), degrees)
    assert found["p_value"] == pytest.approx(expected)


def test_what_both_share_cancels():
    rng = np.random.default_rng(2)
    luck = rng.normal(0, 1, (3, 100))
    found = paired_difference(
        np.full(3, 0.7), np.full(3, 0.6), 0.7 + luck, 0.6 + luck
    )
    assert found["standard_error"] == pytest.approx(0, abs=1e-12)
    assert found["difference"] == pytest.approx(0.1)


def _experiment(rng, effect, num_seeds, num_requests=300, num_replicates=100):
    """Two models whose requests share their difficulty."""
    hard = rng.normal(0, 1, num_requests)
    odd = rng.normal(0, 0.3, num_requests)  # who likes which model
    values, drawn = [], []
    counts = rng.multinomial(
        num_requests, np.ones(num_requests) / num_requests, num_replicates
    )
    for shift in (effect, 0.0):
        own = hard + shift * (1 + odd) + (odd if shift == effect else 0.0)
        noise = rng.normal(0, 0.05, (num_seeds, 1))
        luck = rng.normal(0, 0.5, (num_seeds, num_requests))
        scores = own + noise + luck
        values.append(scores.mean(axis=1))
        drawn.append(scores @ counts.T / num_requests)
    return paired_difference(*values, *drawn)


@pytest.mark.parametrize("num_seeds", [2, 3, 5])
def test_no_effect_is_rarely_significant(num_seeds):
    rng = np.random.default_rng(num_seeds)
    found = [_experiment(rng, 0.0, num_seeds) for _ in range(400)]
    share = np.mean([one["p_value"] < 0.05 for one in found])
    # 5 % expected at most; 4 standard errors of a binomial above it.
    assert share < 0.094


def test_a_planted_effect_is_found_and_the_interval_covers_it():
    rng = np.random.default_rng(7)
    found = [_experiment(rng, 0.3, 3) for _ in range(200)]
    assert np.mean([one["p_value"] < 0.05 for one in found]) > 0.8
    covered = [one["low"] <= 0.3 <= one["high"] for one in found]
    assert np.mean(covered) > 0.9


def test_one_seed_judges_users_only():
    rng = np.random.default_rng(8)
    drawn = rng.normal(0.02, 0.01, (1, 500))
    found = paired_difference(
        [0.62], [0.6], 0.6 + drawn, np.full_like(drawn, 0.6)
    )
    assert np.isnan(found["seed_error"])
    assert found["standard_errors"] == pytest.approx(2.0, rel=0.1)
    expected = 2 * stats.norm.sf(found["standard_errors"])
    assert found["p_value"] == pytest.approx(expected, rel=1e-6)


def test_equal_models_do_not_differ_and_undefined_ones_are_undefined():
    same = paired_difference([0.5, 0.6], [0.5, 0.6])
    assert (same["difference"], same["p_value"]) == (0.0, 1.0)
    undefined = paired_difference([np.nan, 0.6], [0.5, 0.6])
    assert np.isnan(undefined["difference"])
    assert np.isnan(undefined["p_value"])
    rare = np.where(np.arange(100) < 30, np.nan, 0.5)[None]
    few = paired_difference([0.5], [0.4], rare, rare)
    assert np.isnan(few["p_value"])
    assert np.isnan([few["low"], few["high"]]).all()
