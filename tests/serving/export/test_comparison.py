"""Differences of two answers."""

import numpy as np
import pytest

from jd_tf.serving.errors import ExportError
from jd_tf.serving.export.verification.comparison import check_equal, difference


def test_difference_is_relative_to_the_largest_value():
    expected = np.array([[100.0, 0.01]])
    assert difference(expected, expected) == 0
    moved = np.array([[100.0, 0.011]])
    assert difference(expected, moved) == pytest.approx(1e-5)
    assert difference(expected, moved, by_channel=True) == pytest.approx(0.1)
    assert difference(np.zeros((2, 0)), np.zeros((2, 0))) == 0
    assert difference(np.zeros(2), np.full(2, 1e-6)) == pytest.approx(1e-6)


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        (np.ones((2, 1)), np.ones((1, 2))),
        (np.ones(2), np.ones(2, "float32")),
        (np.array([1, 2]), np.array([1, 3])),
        (np.array([b"a"], object), np.array([b"b"], object)),
        (np.array([1.0, np.nan]), np.array([1.0, np.nan])),
        (np.array([1.0]), np.array([np.inf])),
    ],
)
def test_what_cannot_be_compared_differs_infinitely(expected, actual):
    assert difference(expected, actual) == np.inf


def test_a_rare_objective_is_measured_by_itself():
    expected = {"probabilities": np.array([[[0.5, 1e-4]]])}
    actual = {"probabilities": np.array([[[0.5, 1.01e-4]]])}
    with pytest.raises(ExportError, match="here: `probabilities` differs by"):
        check_equal(expected, actual, "here")
    assert check_equal({"score": np.ones(1)}, {"score": np.ones(1)}, "") == 0


def test_missing_tensors_are_named():
    with pytest.raises(ExportError, match=r"\['a'\], should be \['a', 'b'\]"):
        check_equal({"a": np.ones(1), "b": np.ones(1)}, {"a": 0}, "here")
