"""Weights that scikit-learn is given."""

import numpy as np
import pytest

from jd_tf.metrics.cells import unequal_weights


@pytest.mark.parametrize("weights", [[1.0, 1.0, 0.5], [2.0, 2.0], [0.0, 1.0]])
def test_weights_that_count_are_kept(weights):
    weights = np.array(weights)
    assert unequal_weights(weights) is weights


def test_ones_are_none():
    assert unequal_weights(np.ones(4, np.float32)) is None
