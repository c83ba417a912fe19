"""TemporalEncoding against a loop, and where its buckets lie."""

import numpy as np
import pytest

from jd_tf.layers import TemporalEncoding
from tests import references
from tests.cases import case_named
from tests.layers import harness

TWO_YEARS = 2 * 365 * 24 * 3600.0


def test_equals_a_loop():
    case = case_named("temporal_encoding")
    layer = harness.make(case)
    values = harness.arguments(case)
    weights = harness.weights_of(layer)
    expected = references.temporal_encoding(
        values["inputs"],
        values["age_seconds"],
        weights["position_table"],
        weights["age_table"],
        TWO_YEARS,
    )
    harness.assert_same(harness.outputs(layer, values), [expected])


def _buckets(ages, **settings):
    layer = TemporalEncoding(1, use_position=False, **settings)
    ages = np.asarray([ages], np.float32)
    zeros = np.zeros((*ages.shape, 1), np.float32)
    layer(zeros, ages)
    layer.age_table.assign(np.arange(layer.num_age_buckets)[:, None])
    return layer(zeros, ages).numpy()[0, :, 0]


def test_ages_a_doubling_apart_never_share_a_bucket():
    doublings = 4.0 * 2.0 ** np.arange(24)
    buckets = _buckets(doublings)
    assert np.all(np.diff(buckets) >= 2)
    assert len(set(buckets)) == len(buckets)


def test_buckets_grow_with_age_and_end_at_the_greatest():
    ages = [-5.0, 0.0, 60.0, 3600.0, 86_400.0, 1e7, TWO_YEARS, 1e20, np.inf]
    buckets = _buckets(ages)
    assert np.all(np.diff(buckets) >= 0)
    assert buckets[:2].tolist() == [0, 0]
    assert buckets[-3:].tolist() == [63, 63, 63]
    assert buckets[-4] < 63


def test_events_beyond_the_last_position_share_it():
    layer = TemporalEncoding(2, use_recency=False)
    out = layer(np.zeros((1, 4, 3), np.float32)).numpy()[0]
    assert np.any(out[0] != out[1])
    np.testing.assert_array_equal(out[1], out[2])
    np.testing.assert_array_equal(out[1], out[3])
    assert len(layer.weights) == 1


def test_large_ages_survive_half_precision():
    layer = TemporalEncoding(4, use_position=False, dtype="mixed_float16")
    ages = np.array([[3600.0 * 18, 3600.0 * 24 * 30, TWO_YEARS]], np.float32)
    out = layer(np.zeros((1, 3, 4), np.float32), ages).numpy()[0]
    assert out.dtype == np.float16
    assert np.all(np.isfinite(out))
    assert len({row.tobytes() for row in out}) == 3


def test_missing_ages_are_named():
    layer = TemporalEncoding(4, name="when")
    with pytest.raises(ValueError, match="'when' has `use_recency`"):
        layer(np.zeros((1, 2, 3), np.float32))
