"""The three fusions against loops, their bounds, and what they never touch."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from jd_tf.layers import FixedFusion, GlobalFusion, PersonalizedFusion
from tests import fusion_references, references
from tests.cases import CANDIDATES, REQUESTS, case_named
from tests.layers import harness

FUSIONS = (
    "personalized_fusion",
    "additive_personalized_fusion",
    "global_fusion",
    "fixed_fusion",
)


def _expected_weights(layer, weights, features):
    if isinstance(layer, FixedFusion):
        return np.array(layer.objective_weights)
    if isinstance(layer, GlobalFusion):
        gate = weights["gate_bias"]
    else:
        hidden = features.astype(np.float64)
        for index in range(len(layer.units)):
            name = f"hidden_{index}"
            hidden = references.dense(hidden, weights, name)
            hidden = references.gelu(hidden)
        gate = references.dense(hidden, weights, "gate")
    bend = np.tanh(weights.get("scale_logit", 0.0))
    scale = layer.max_scale**bend
    return fusion_references.bounded_weights(gate, layer.min_share, scale)


@pytest.mark.parametrize("name", FUSIONS)
def test_equals_a_loop(name):
    layer = harness.make(case_named(name))
    values = harness.arguments(case_named(name))
    kept = harness.weights_of(layer)
    score, weights = harness.outputs(layer, values)
    assert weights.shape == (REQUESTS, 4)
    for row in range(REQUESTS):
        expected = _expected_weights(
            layer, kept, values["session_features"][row]
        )
        harness.assert_same([weights[row]], [expected])
        for candidate in range(CANDIDATES):
            logits = values["logits"][row, candidate]
            fused = fusion_references.fused(logits, expected, layer.form)
            harness.assert_same([score[row, candidate]], [fused])


@pytest.mark.parametrize("name", FUSIONS)
def test_weights_never_look_at_candidates(name):
    layer = harness.make(case_named(name))
    values = harness.arguments(case_named(name))
    score, weights = harness.outputs(layer, values)
    order = [2, 0]
    fewer = {**values, "logits": values["logits"][:, order]}
    some, same = harness.outputs(layer, fewer)
    np.testing.assert_array_equal(same, weights)
    harness.assert_same([some], [score[:, order]])
    alone = layer.request_weights(tf.constant(values["session_features"]))
    np.testing.assert_array_equal(alone, weights)
    halves = layer.fuse(tf.constant(values["logits"]), alone)
    np.testing.assert_array_equal(halves, score)


@pytest.mark.parametrize("name", FUSIONS)
def test_no_gradient_reaches_the_logits(name):
    layer = harness.make(case_named(name))
    values = harness.arguments(case_named(name))
    logits = tf.Variable(values["logits"])
    features = tf.Variable(values["session_features"])
    with tf.GradientTape() as tape:
        score, weights = layer(logits, features)
        loss = tf.reduce_sum(score) + tf.reduce_sum(weights**2)
    to_logits, to_features = tape.gradient(loss, [logits, features])
    assert to_logits is None
    # Only one of the cases lets the features learn.
    assert (to_features is not None) == (name.startswith("additive"))


@pytest.mark.parametrize("form", ["log_linear", "additive"])
def test_no_objective_is_silenced_or_drowns_the_others(form):
    layer = PersonalizedFusion(
        3, units=(4,), form=form, min_share=0.1, max_scale=8.0
    )
    features = np.random.default_rng(0).normal(size=(200, 2)).astype("float32")
    layer.build((None, None, 3), (None, 2))
    rng = np.random.default_rng(1)
    for weight in layer.trainable_weights:
        weight.assign(rng.normal(scale=50, size=weight.shape))
    weights = layer.request_weights(1e3 * features).numpy()
    scale = weights.sum(axis=1)
    if form == "additive":
        np.testing.assert_allclose(scale, 1, rtol=1e-6)
    else:
        assert np.ptp(scale) < 1e-5 * scale[0]
        assert 1 / 8 - 1e-6 <= scale[0] <= 8 + 1e-5
    shares = weights / scale[:, None]
    assert np.all(shares >= 0.1 - 1e-6)
    assert np.all(shares <= 1 - 2 * 0.1 + 1e-6)
    assert shares.min() < 0.11
    assert shares.max() > 0.79


@pytest.mark.parametrize("cls", [GlobalFusion, PersonalizedFusion])
def test_learning_starts_at_the_shares_given(cls):
    layer = cls(3, min_share=0.02, initial_shares=(1.0, 4.0, 5.0))
    features = np.random.default_rng(0).normal(size=(6, 2)).astype("float32")
    _, weights = layer(np.zeros((6, 4, 3), "float32"), features)
    expected = np.tile([0.1, 0.4, 0.5], (6, 1))
    np.testing.assert_allclose(weights, expected, rtol=1e-5)
    _, equal = cls(4)(np.zeros((6, 4, 4), "float32"), features)
    np.testing.assert_allclose(equal, 0.25, rtol=1e-6)


def test_shares_below_the_floor_start_a_little_above_it():
    layer = GlobalFusion(2, min_share=0.1, initial_shares=(1.0, 999.0))
    layer.build((None, None, 2), (None, 1))
    low, high = layer.request_weights(np.zeros((1, 1), "float32")).numpy()[0]
    assert 0.1 < low < 0.102
    assert low + high == pytest.approx(1)


def test_business_values_times_probabilities_is_the_additive_fixed_rule():
    values = (1.0, 5.0, 50.0)
    layer = FixedFusion(values, form="additive")
    rng = np.random.default_rng(0)
    chances = rng.uniform(0.001, 0.9, (2, 5, 3)).astype("float32")
    logits = np.log(chances / (1 - chances))
    score, _ = layer(logits, np.zeros((2, 0), "float32"))
    np.testing.assert_allclose(score, chances @ values, rtol=1e-5)


def test_fixed_weights_can_be_replaced():
    layer = FixedFusion((1.0, 2.0))
    layer.build((None, None, 2), (None, 0))
    layer.assign((3.0, 0.5))
    weights = layer.request_weights(np.zeros((2, 0), "float32"))
    np.testing.assert_array_equal(weights, [[3, 0.5]] * 2)
    with pytest.raises(ValueError, match=r"must be 2 finite .* Got: \(1\.0"):
        layer.assign((1.0,))
    with pytest.raises(ValueError, match="must not be empty"):
        layer.assign(())


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_the_smallest_probabilities_stay_apart_and_finite(policy):
    # Probabilities of 1e-9 and below, where p is 0 in half precision.
    logits = np.array([[[-20.7], [-25.0], [-60.0], [40.0]]], np.float32)
    for layer in (FixedFusion((2.0,), dtype=policy),
                  GlobalFusion(1, dtype=policy)):  # fmt: skip
        score, _ = layer(logits, np.zeros((1, 1), "float32"))
        assert np.all(np.isfinite(score))
        assert np.all(np.diff(score.numpy()[0, :3]) < 0)
        assert score.numpy()[0, 3] <= 0


@pytest.mark.parametrize("form", ["log_linear", "additive"])
def test_infinity_in_padding_leaves_gradients_finite(form):
    layer = PersonalizedFusion(2, form=form)
    logits = np.array([[[0.3, -2], [1, -1], [np.inf, -np.inf]]], np.float32)
    features = np.ones((1, 3), np.float32)
    with tf.GradientTape() as tape:
        score, _ = layer(logits, features)
        read = layer.list_logits(score)
        loss = tf.nn.softmax(tf.where([[True, True, False]], read, -1e9))[0, 0]
    variables = [weight.value for weight in layer.trainable_weights]
    for gradient in tape.gradient(loss, variables):
        assert np.all(np.isfinite(gradient))


def test_list_logits_make_softmax_proportional_to_what_is_fused():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 4, 3)).astype("float32")
    chances = 1 / (1 + np.exp(-logits))
    weights = np.array([1.0, 3.0, 10.0])
    fused = {
        "additive": chances @ weights,
        "log_linear": np.prod(chances**weights, axis=-1),
    }
    for form, expected in fused.items():
        layer = FixedFusion(weights, form=form)
        score, _ = layer(logits, np.zeros((2, 1), "float32"))
        shares = tf.nn.softmax(layer.list_logits(score)).numpy()
        expected = expected / expected.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(shares, expected, rtol=1e-4)
    nothing = FixedFusion((1.0,), form="additive").list_logits(np.zeros((1, 2)))
    assert np.all(np.isfinite(nothing))


def test_rankings_do_not_depend_on_the_scale():
    values = harness.arguments(case_named("global_fusion"))
    layer = harness.make(case_named("global_fusion"))
    layer.scale_logit.assign(-5.0)
    low, _ = harness.outputs(layer, values)
    layer.scale_logit.assign(5.0)
    high, _ = harness.outputs(layer, values)
    np.testing.assert_array_equal(np.argsort(low), np.argsort(high))
    np.testing.assert_allclose(high / low, layer.max_scale**2, rtol=1e-3)


def test_wrong_shapes_are_named():
    features = np.zeros((1, 2), "float32")
    with pytest.raises(ValueError, match=r"2 objectives .* Got: \(1, 3, 5\)"):
        FixedFusion((1.0, 1.0))(np.zeros((1, 3, 5), "float32"), features)
    with pytest.raises(ValueError, match="at least one feature"):
        PersonalizedFusion(2)(np.zeros((1, 3, 2), "float32"), features[:, :0])


def test_learns_which_objective_a_session_is_after():
    """Buying sessions pay for the second objective, browsing for the first."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(512, 6, 2)).astype("float32")
    buying = rng.random(512) < 0.5
    wanted = np.where(
        buying, logits[..., 1].argmax(1), logits[..., 0].argmax(1)
    )
    features = np.stack([buying, rng.normal(size=512)], 1).astype("float32")
    layer = PersonalizedFusion(2, units=(8,), min_share=0.05)
    layer(logits, features)
    optimizer = keras.optimizers.Adam(0.05)
    for _ in range(60):
        with tf.GradientTape() as tape:
            score, _ = layer(logits, features)
            loss = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(wanted, score)
            )
        optimizer.apply(
            tape.gradient(loss, [w.value for w in layer.trainable_weights]),
            layer.trainable_weights,
        )
    weights = layer.request_weights(features).numpy()
    shares = weights / weights.sum(axis=1, keepdims=True)
    assert shares[buying, 1].mean() > 0.8
    assert shares[~buying, 0].mean() > 0.8
