"""TreeEnsemble against a walk down each tree, and against scikit-learn."""

import numpy as np
import pytest

from jd_tf.layers import TreeEnsemble
from tests.case_inputs import random_trees


def _walk(tree, row):
    """The value of the leaf that a row of numbers reaches."""
    features, thresholds, paths, values = tree
    sides = [
        1 if row[feature] > threshold else -1
        for feature, threshold in zip(features, thresholds, strict=True)
    ]
    (reached,) = [
        leaf
        for leaf, path in enumerate(paths)
        if all(step in (0, sides[split]) for split, step in enumerate(path))
    ]
    return values[reached]


# The second has more trees than are computed at once.
@pytest.mark.parametrize("counts", [(5, 0, 2), (70, 3, 60)])
def test_equals_a_walk_down_each_tree(counts):
    rng = np.random.default_rng(1)
    trees = [random_trees(rng, count) for count in counts]
    mixing = rng.normal(size=(3, 3))
    layer = TreeEnsemble((-1, -1, 0), sum(counts), num_leaves=6)
    layer.assign(trees, mixing)
    numbers, logits = rng.normal(size=(2, 4, 5)), rng.normal(size=(2, 4, 3))
    expected = np.zeros((2, 4, 3))
    for place in np.ndindex(2, 4):
        row = layer.rounded(numbers[place]).numpy()
        for t, ensemble in enumerate(trees):
            scale, weight, offset = mixing[t]
            total = sum(_walk(tree, row) for tree in ensemble)
            expected[(*place, t)] = (
                scale * logits[(*place, t)] + weight * total + offset
            )
        # What presupposes another is never likelier.
        expected[(*place, 2)] = min(
            expected[(*place, 2)], expected[(*place, 0)]
        )
    np.testing.assert_allclose(layer(numbers, logits), expected, atol=1e-5)


def test_logits_stay_before_there_are_trees():
    rng = np.random.default_rng(1)
    numbers, logits = rng.normal(size=(2, 4, 5)), rng.normal(size=(2, 4, 1))
    logits = logits.astype(np.float32)
    layer = TreeEnsemble((-1,), num_trees=2, num_leaves=6)
    np.testing.assert_array_equal(layer(numbers, logits), logits)
    layer.assign([random_trees(rng, 2)], [[1.0, 1.0, 0.0]])
    assert not np.allclose(layer(numbers, logits), logits)
    layer.forget()
    np.testing.assert_array_equal(layer(numbers, logits), logits)


def test_thresholds_are_not_rounded_up():
    low = np.float32(0.5)
    high = np.float32(0.5 + 2**-12)
    between = np.nextafter(np.float64(high), 0.0)
    assert np.float32(between) == high
    layer = TreeEnsemble((-1,), 1, 2)
    tree = ([0], [between], [[-1], [1]], [-1.0, 1.0])
    layer.assign([[tree]], [[0.0, 1.0, 0.0]])
    found = layer(np.array([[[low], [high]]]), np.zeros((1, 2, 1)))
    np.testing.assert_array_equal(found[0, :, 0], [-1.0, 1.0])


def test_a_number_at_its_threshold_goes_left():
    layer = TreeEnsemble((-1,), 1, 2)
    layer.assign([[([0], [0.5], [[-1], [1]], [-1.0, 1.0])]], [[0.0, 1.0, 0.0]])
    found = layer(np.array([[[0.5], [0.75]]]), np.zeros((1, 2, 1)))
    np.testing.assert_array_equal(found[0, :, 0], [-1.0, 1.0])


def test_sums_that_differ_by_rounding_are_one_number():
    generator = np.random.default_rng(1)
    numbers = generator.normal(size=1000) * 10.0 ** np.arange(-2, 3).repeat(200)
    numbers = np.float32(numbers)
    found = TreeEnsemble.rounded(numbers).numpy()
    np.testing.assert_allclose(found, numbers, rtol=2**-12, atol=2**-19)
    next_one = np.nextafter(numbers, np.float32(np.inf))
    again = TreeEnsemble.rounded(next_one).numpy()
    assert np.count_nonzero(found != again) <= 5
    noise = np.float32([1e-9, -3e-8, 0.0, -0.0])
    np.testing.assert_array_equal(TreeEnsemble.rounded(noise), 0.0)
    # What is rounded stays as it is.
    np.testing.assert_array_equal(TreeEnsemble.rounded(found), found)


def test_too_many_trees_or_leaves_are_refused():
    layer = TreeEnsemble((-1,), num_trees=1, num_leaves=2)
    tree = ([0], [0.0], [[-1], [1]], [1.0, 2.0])
    with pytest.raises(ValueError, match="Got: 2 trees of at most 2 leaves"):
        layer.assign([[tree, tree]], [[1.0, 1.0, 0.0]])
    large = ([0, 1], [0.0, 0.0], np.eye(3, 2), [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="Got: 1 trees of at most 3 leaves"):
        layer.assign([[large]], [[1.0, 1.0, 0.0]])
