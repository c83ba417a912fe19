"""Diversity of lists against loops."""

import collections
import itertools
import math

import numpy as np
import pytest

from jd_tf.metrics import intra_list_distance, value_entropy


@pytest.fixture
def lists():
    rng = np.random.default_rng(3)
    length = np.array([6, 1, 0, 4, 2])
    vectors = rng.normal(size=(5, 6, 3))
    vectors[3, 1] = 0.0
    return vectors, rng.integers(1, 4, (5, 6)), length


def test_intra_list_distance_is_the_mean_over_pairs(lists):
    vectors, _, length = lists
    expected = []
    for rows, count in zip(vectors, length, strict=True):
        distances = []
        for one, two in itertools.combinations(rows[:count], 2):
            norms = np.linalg.norm(one) * np.linalg.norm(two)
            distances.append(1.0 - (one @ two / norms if norms else 0.0))
        expected.append(np.mean(distances) if distances else np.nan)
    found = intra_list_distance(vectors, length)
    np.testing.assert_allclose(found, expected)
    assert np.isnan(found).tolist() == [False, True, True, False, False]


def test_entropy_counts_the_values_of_each_list(lists):
    _, ids, length = lists
    expected = []
    for row, count in zip(ids, length, strict=True):
        counts = collections.Counter(row[:count].tolist()).values()
        shares = [number / count for number in counts]
        bits = -sum(share * math.log2(share) for share in shares)
        expected.append(bits if count else math.nan)
    np.testing.assert_allclose(value_entropy(ids, length), expected)


def test_entropy_of_texts():
    ids = np.array([[b"a", b"b", b""]], object)
    assert value_entropy(ids, np.array([2])).tolist() == [1.0]
