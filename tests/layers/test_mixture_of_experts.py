"""MixtureOfExperts against the unsplit formula on tiled features."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from jd_tf.layers import MixtureOfExperts
from tests import references
from tests.cases import CANDIDATES, REQUESTS, case_named
from tests.layers import harness


def _unsplit(layer):
    """The weights as E experts and T gates over (user, candidate)."""
    weights = harness.weights_of(layer)
    kernel = np.concatenate(
        [weights["user_half/kernel"], weights["candidate_half/kernel"]]
    ).astype(np.float64)
    bias = weights["user_half/bias"]
    width = layer.expert_units[0]
    experts = []
    for e in range(layer.num_experts):
        part = slice(e * width, (e + 1) * width)
        stack = [(kernel[:, part], bias[part])]
        for i in range(len(layer.expert_units) - 1):
            deeper = weights[f"deeper/kernel_{i}"], weights[f"deeper/bias_{i}"]
            stack.append((deeper[0][e], deeper[1][e, 0]))
        experts.append(stack)
    gates = []
    for t in range(layer.num_tasks):
        start = layer.num_experts * (width + t)
        part = slice(start, start + layer.num_experts)
        gates.append((kernel[:, part], bias[part]))
    return experts, gates


@pytest.mark.parametrize(
    ("name", "activation"),
    [("shallow_mixture", references.relu), ("deep_mixture", references.gelu)],
)
def test_equals_the_unsplit_formula_on_tiled_features(name, activation):
    case = case_named(name)
    layer = harness.make(case)
    values = harness.arguments(case)
    (actual,) = harness.outputs(layer, values)
    state = layer.encode_user(values["user_features"])
    assert state.shape == (REQUESTS, layer.user_state_dim)
    shares = layer.gate_weights(values["candidate_features"], state).numpy()
    experts, gates = _unsplit(layer)
    for row, candidate in np.ndindex(REQUESTS, CANDIDATES):
        tiled = np.concatenate(
            [
                values["user_features"][row],
                values["candidate_features"][row, candidate],
            ]
        )
        expected = references.mixture_of_experts(
            tiled, experts, gates, activation
        )
        found = [actual[row, candidate], shares[row, candidate]]
        harness.assert_same(found, list(expected), 1e-4)


def test_halves_make_the_whole_for_any_slice_of_candidates():
    case = case_named("deep_mixture")
    layer = harness.make(case)
    values = harness.arguments(case)
    whole = layer(*values.values())
    state = layer.encode_user(values["user_features"])
    for slice_ in (slice(0, 2), slice(2, 3)):
        part = layer.mix(values["candidate_features"][:, slice_], state)
        np.testing.assert_allclose(part, whole[:, slice_], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16"])
def test_user_half_in_two_products_is_the_joint_product(dtype):
    case = case_named("deep_mixture")
    layer = harness.make(case, dtype=dtype)
    features = harness.arguments(case)["user_features"]
    tolerance = 1e-5 if dtype == "float32" else 2e-2
    joint = layer.encode_user(features)
    for width in range(1, features.shape[1]):
        state = layer.encode_user(features[:, :width])
        split = layer.add_request(state, features[:, width:])
        assert split.dtype == joint.dtype
        np.testing.assert_allclose(split, joint, rtol=tolerance, atol=tolerance)


def test_split_products_train_one_kernel():
    layer = MixtureOfExperts(2, (4,), 1)
    layer.build((None, None, 3), (None, 5))
    features = tf.ones((2, 5))

    def gradients(state_of):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(state_of() ** 2)
        return tape.gradient(loss, layer.user_half.trainable_weights)

    joint = gradients(lambda: layer.encode_user(features))
    split = gradients(
        lambda: layer.add_request(
            layer.encode_user(features[:, :2]), features[:, 2:]
        )
    )
    for one, other in zip(split, joint, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_too_many_user_columns_are_refused():
    layer = MixtureOfExperts(2, (4,), 1)
    layer.build((None, None, 3), (None, 5))
    state = layer.encode_user(np.ones((1, 5), np.float32))
    with pytest.raises(ValueError, match=r"at most 5 columns.*\(1, 6\)"):
        layer.encode_user(np.ones((1, 6), np.float32))
    with pytest.raises(ValueError, match=r"`request_features`.*\(1, 6\)"):
        layer.add_request(state, np.ones((1, 6), np.float32))


def test_starts_as_one_dense_layer_over_both_would():
    layer = MixtureOfExperts(4, (64,), 2)
    layer.build((None, None, 300), (None, 100))
    expected = 1 / np.sqrt(400)
    for half in (layer.user_half, layer.candidate_half):
        assert np.std(half.kernel) == pytest.approx(expected, rel=0.05)


_WITHOUT_COLUMNS = """
import numpy as np, tensorflow as tf
from jd_tf.layers import MixtureOfExperts
layer = MixtureOfExperts(2, (4,), 1)
layer.build((None, None, 3), (None, 5))
encode = tf.function(layer.encode_user)
state = layer.add_request(encode(tf.zeros((4, 0))), tf.ones((4, 5)))
np.testing.assert_allclose(state, encode(tf.ones((4, 5))), atol=1e-6)
"""


def test_a_state_of_no_columns_does_not_end_the_process():
    """A ranker without a sequence part has one; oneDNN is on by default."""
    run = subprocess.run(
        [sys.executable, "-c", _WITHOUT_COLUMNS],
        env={**os.environ, "TF_ENABLE_ONEDNN_OPTS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
