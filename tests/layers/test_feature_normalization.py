"""FeatureNormalization: statistics and scaling against loops, and bounds."""

import numpy as np
import pytest

from jd_tf.layers import FeatureNormalization
from tests import numeric_references
from tests.cases import CANDIDATES, REQUESTS, case_named
from tests.layers import harness


def _rows(count=3000, seed=2):
    rng = np.random.default_rng(seed)
    return np.stack(
        [
            np.exp(3 * rng.normal(size=count)),  # prices
            rng.beta(2, 60, count),  # rates
            -np.floor(np.exp(rng.normal(size=count))),
            np.full(count, 7.0),
            (np.arange(count) == 5) * 1.0,  # rarer than 0.1 %
        ],
        axis=-1,
    )


def test_normalization_equals_a_loop():
    case = case_named("feature_normalization")
    layer = harness.make(case)
    values = harness.arguments(case)
    values["inputs"][0, 0] *= -1
    weights = harness.weights_of(layer)
    (actual,) = harness.outputs(layer, values)
    for row, candidate in np.ndindex(REQUESTS, CANDIDATES):
        expected = numeric_references.feature_normalization(
            values["inputs"][row, candidate], (1, 4), weights, 2.0
        )
        harness.assert_same([actual[row, candidate]], [expected])
    assert np.abs(actual).max() == 2.0
    assert np.abs(actual).min() < 1.0


def test_embedding_equals_a_loop():
    case = case_named("feature_normalization_with_embedding")
    layer = harness.make(case)
    values = harness.arguments(case)
    (actual,) = harness.outputs(layer, values)
    weights = harness.weights_of(layer)
    edges = (weights["quantiles"] - weights["mean"]) / weights["scale"]
    edges = np.clip(edges, -2.0, 2.0)
    embedded, normal = np.split(actual, [15], axis=-1)
    for row, candidate, feature in np.ndindex(REQUESTS, CANDIDATES, 5):
        expected = numeric_references.feature_embedding(
            normal[row, candidate, feature],
            edges[:, feature],
            weights["kernel"][:, feature],
            weights["bias"][feature],
        )
        found = embedded[row, candidate, 3 * feature : 3 * feature + 3]
        harness.assert_same([found], [expected])


def test_common_values_fill_their_bins_at_once():
    """Zero is most values of many counters, one most of a flag's."""
    layer = FeatureNormalization([0], num_quantiles=5, embedding_dim=1)
    layer.adapt(np.array([[0.0], [0.0], [0.0], [1.0], [1.0], [1.0], [2.0]]))
    layer.kernel.assign(np.array([1.0, 10, 100, 1000])[:, None, None])
    numbers = np.array([[0.0], [0.5], [1.0], [1.5], [2.0], [9.0]])
    # Quantiles are 0, 0, 1, 1, 2.
    expected = [1, 6, 111, 611, 1111, 1111]
    np.testing.assert_allclose(layer(numbers)[:, 0], expected, rtol=1e-5)


def test_some_features_are_normalized_as_among_all():
    rows, layer = _rows(), FeatureNormalization(linear=[1])
    layer.adapt(rows)
    rows = rows[:50].astype("float32")
    some = layer.normalize(rows[:, [1, 2]], (1, 2))
    np.testing.assert_array_equal(some, np.asarray(layer(rows))[:, 1:3])


def test_statistics_equal_those_of_sorted_values():
    rows, layer = _rows(), FeatureNormalization(linear=[1], num_quantiles=7)
    layer.adapt(rows)
    assert layer.num_rows.numpy() == len(rows)
    weights = harness.weights_of(layer)
    for index in range(rows.shape[1]):
        mean, scale, quantiles = numeric_references.feature_statistics(
            rows[:, index], index == 1, 7
        )
        harness.assert_same(
            [weights[n][..., index] for n in ("mean", "scale", "quantiles")],
            [mean, scale, quantiles],
        )


def test_training_data_has_mean_0_and_scale_1():
    rows, layer = _rows(), FeatureNormalization(linear=[1])
    layer.adapt(rows)
    found = np.asarray(layer(rows.astype("float32")))
    np.testing.assert_allclose(found[:, :4].mean(axis=0), 0, atol=0.01)
    np.testing.assert_allclose(found[:, :3].std(axis=0), 1, atol=0.03)
    # Of a constant nothing is left, of a rare event a bounded number.
    assert not np.any(found[:, 3])
    assert found[5, 4] == layer.max_value


def test_values_never_seen_go_no_further_than_known_ones():
    rows, layer = _rows(), FeatureNormalization(linear=[1])
    layer.adapt(rows)
    extremes = np.asarray(layer(np.stack([rows.min(0), rows.max(0)])))
    odd = np.array([[-1.0], [1.0]]) * np.full(5, 3e38)
    np.testing.assert_array_equal(np.asarray(layer(odd)), extremes)


def test_what_is_no_number_is_the_mean():
    layer = FeatureNormalization(linear=[1], embedding_dim=2)
    layer.adapt(_rows())
    missing = np.array([[-np.inf], [np.inf], [np.nan]]) * np.ones(5)
    found = np.asarray(layer(missing))
    assert not found[:, -5:].any()
    logs = np.sign(layer.mean) * np.expm1(np.abs(layer.mean))
    mean = np.where(np.arange(5) == 1, layer.mean, logs)
    atol = 1e-4
    np.testing.assert_allclose(found, np.asarray(layer([mean] * 3)), atol=atol)


def test_one_odd_training_value_leaves_the_others_apart():
    rows = _rows()
    layer, spoilt = FeatureNormalization(), FeatureNormalization()
    layer.adapt(rows)
    rows[17, 1] = 1e30
    spoilt.adapt(rows)
    scales = spoilt.scale.numpy()[1], layer.scale.numpy()[1]
    assert scales[0] == pytest.approx(scales[1], rel=0.05)


def test_before_adapt_mean_is_0_and_scale_1():
    layer = FeatureNormalization(linear=[0])
    values = np.array([[0.03, 99.0], [-4.0, -3e4]], "float32")
    expected = np.where(
        [True, False], values, np.sign(values) * np.log1p(np.abs(values))
    )
    expected = np.clip(expected, -10.0, 10.0)
    np.testing.assert_allclose(layer(values), expected, rtol=1e-6)
    assert not layer.adapted
    layer.adapt(values)
    assert layer.adapted


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.zeros((0, 2)), r"\(M, 2\) rows, M at least 1. Got: \(0, 2\)"),
        (np.zeros((3, 4)), r"Got: \(3, 4\)"),
        (np.array([[0.0, np.nan]]), "not finite in feature 1"),
    ],
)
def test_wrong_samples_are_refused(rows, message):
    layer = FeatureNormalization()
    layer.build((None, 2))
    with pytest.raises(ValueError, match=message):
        layer.adapt(rows)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"linear": [-1]}, r"`linear\[0\]`"),
        ({"num_quantiles": 1}, "`num_quantiles`"),
        ({"max_value": 0.0}, "`max_value`"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        FeatureNormalization(**arguments)


def test_a_feature_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="some of 2 features"):
        FeatureNormalization(linear=[2]).build((None, 2))
