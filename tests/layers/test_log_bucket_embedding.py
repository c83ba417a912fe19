"""LogBucketEmbedding against a loop, and the effect of its scale."""

import numpy as np
import pytest
import tensorflow as tf

from jd_tf.layers import LogBucketEmbedding
from tests import references
from tests.cases import CANDIDATES, REQUESTS, case_named
from tests.layers import harness

UNKNOWN = (-1.0, -1e-30, -np.inf, np.nan)


@pytest.mark.parametrize("seed", range(3))
def test_equals_a_loop(seed):
    case = case_named("log_bucket_embedding")
    layer = harness.make(case)
    values = harness.arguments(case, seed)
    weights = harness.weights_of(layer)
    (actual,) = harness.outputs(layer, values)
    for place in np.ndindex(REQUESTS, CANDIDATES, 2):
        expected = references.log_bucket_vector(
            values["inputs"][place],
            weights["log_scale"][place[-1]],
            weights["bucket_table"][place[-1]],
            layer.max_value,
        )
        harness.assert_same([actual[place]], [expected])


def _positions(numbers, **settings):
    """Positions of numbers, from the vectors, not from `positions`."""
    layer = LogBucketEmbedding(1, 1, **settings)
    layer.build((None, 1))
    edges = np.arange(layer.num_buckets + 1.0)
    edges[-1] = -7
    layer.bucket_table.assign(edges[None, :, None])
    return layer(np.asarray(numbers, np.float32)[:, None])[:, 0, 0].numpy()


def test_numbers_keep_their_order_from_nothing_to_the_largest():
    numbers = np.concatenate([[0.0], np.geomspace(1e-6, 1e6, 200)])
    places = _positions(numbers, num_buckets=9, max_value=1e6)
    assert places[0] == 0
    assert np.all(np.diff(places) >= 0)
    assert np.all(np.diff(places[numbers > 1e-3]) > 0)
    assert places[-1] == pytest.approx(8, abs=1e-5)
    beyond = _positions([1e7, 1e30, np.inf], num_buckets=9, max_value=1e6)
    np.testing.assert_allclose(beyond, 8, atol=1e-5)


def test_a_small_scale_spends_its_buckets_on_small_numbers():
    narrow, wide = (
        _positions([10.0], num_buckets=11, max_value=100, initial_scale=scale)
        for scale in (0.01, 1e4)
    )
    assert narrow > 7
    # A scale far above all numbers divides the range evenly.
    assert wide == pytest.approx(1.0, abs=0.01)


def test_unknown_is_not_zero_and_all_unknowns_are_alike():
    assert _positions(UNKNOWN).tolist() == [-7, -7, -7, -7]
    assert _positions([0.0, -0.0]).tolist() == [0, 0]


def test_unknown_trains_its_own_vector_only_and_no_scale():
    layer = LogBucketEmbedding(2, 3, num_buckets=4)
    for numbers, rows in (
        ([[np.nan, 5.0]], {0: [4]}),
        ([[-1.0, 5.0]], {0: [4]}),
        ([[0.0, 5.0]], {0: [0]}),
        ([[1e9, 5.0]], {0: [3]}),
    ):
        layer.build((None, 2)) if not layer.built else None
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(np.array(numbers, np.float32))[:, 0])
        weights = layer.bucket_table.value, layer.log_scale.value
        to_table, to_scale = tape.gradient(loss, weights)
        touched = np.flatnonzero(np.abs(to_table[0]).max(axis=1) > 1e-5)
        assert touched.tolist() == rows[0]
        # The other feature is not in the loss.
        assert not np.any(to_table[1])
        np.testing.assert_allclose(to_scale, 0, atol=1e-5)


def test_the_scale_is_learned_and_its_gradient_is_the_slope():
    layer = LogBucketEmbedding(1, 3, num_buckets=6, max_value=100)
    numbers = np.array([[0.3], [2.0], [17.0], [60.0]], np.float32)
    layer(numbers)

    def loss_at(log_scale):
        layer.log_scale.assign([log_scale])
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(numbers) ** 2)
        slope = tape.gradient(loss, layer.log_scale.value)
        return float(loss), float(slope[0])

    step = 1e-2
    expected = (loss_at(0.4 + step)[0] - loss_at(0.4 - step)[0]) / (2 * step)
    slope = loss_at(0.4)[1]
    assert abs(slope) > 1e-3
    assert slope == pytest.approx(expected, rel=0.02)


def test_training_finds_the_scale_that_made_the_data():
    rng = np.random.default_rng(0)
    numbers = rng.uniform(0, 100, (2000, 1)).astype(np.float32)
    true = LogBucketEmbedding(1, 1, 5, max_value=100, initial_scale=20.0)
    true.build((None, 1))
    steps = np.array([0.0, 2.0, -1.0, 3.0, 0.0, 0.0])[None, :, None]
    true.bucket_table.assign(steps)
    layer = LogBucketEmbedding(1, 1, 5, max_value=100, initial_scale=5.0)
    layer.build((None, 1))
    layer.bucket_table.assign(steps)
    wanted = true(numbers)
    for _ in range(200):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((layer(numbers) - wanted) ** 2)
        slope = tape.gradient(loss, layer.log_scale.value)
        layer.log_scale.assign(layer.log_scale - 0.1 * slope)
    assert np.exp(layer.log_scale[0]) == pytest.approx(20, rel=0.05)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_keeps_large_numbers(policy):
    settings = {"num_buckets": 9, "max_value": 1e6}
    numbers = [1.0, 65_000.0, 70_000.0, 1e6]
    np.testing.assert_allclose(
        _positions(numbers, dtype=policy, **settings),
        _positions(numbers, **settings),
        rtol=0.01,
    )
