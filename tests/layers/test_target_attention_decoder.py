"""TargetAttentionDecoder against a loop, and its two halves."""

import numpy as np
import pytest

from jd_tf.layers import TargetAttentionDecoder
from tests import attention_references
from tests.cases import CANDIDATES, EVENTS, LENGTHS, REQUESTS, case_named
from tests.layers import harness

both = pytest.mark.parametrize("name", ["decoder", "decoder_with_feedforward"])


@both
def test_equals_a_loop(name):
    case = case_named(name)
    layer = harness.make(case)
    values = harness.arguments(case)
    weights = harness.weights_of(layer)
    (actual,) = harness.outputs(layer, values)
    keys = layer.encode_memory(values["memory"])["keys"]
    shares = layer.attention_weights(values["queries"], keys, LENGTHS).numpy()
    assert shares.shape == (REQUESTS, layer.num_heads, CANDIDATES, EVENTS)
    for row, candidate in np.ndindex(REQUESTS, CANDIDATES):
        length = LENGTHS[row]
        expected, expected_shares = attention_references.target_attention(
            values["queries"][row, candidate].astype(np.float64),
            values["memory"][row, :length],
            weights,
            layer.num_heads,
            layer.feedforward_dim > 0,
        )
        harness.assert_same([actual[row, candidate]], [expected], 1e-4)
        harness.assert_same(
            [shares[row, :, candidate, :length]], [expected_shares], 1e-4
        )


@both
def test_weights_sum_to_one_on_real_events_only(name):
    case = case_named(name)
    layer = harness.make(case, dtype="mixed_float16")
    values = harness.arguments(case)
    keys = layer.encode_memory(values["memory"])["keys"]
    shares = layer.attention_weights(values["queries"], keys, LENGTHS).numpy()
    assert shares.dtype == np.float32
    for row, length in enumerate(LENGTHS):
        assert not np.any(shares[row, :, :, length:])
    np.testing.assert_allclose(shares[:3].sum(axis=-1), 1.0, rtol=1e-5)
    assert not np.any(shares[3])


@both
def test_halves_make_the_whole_for_any_slice_of_candidates(name):
    case = case_named(name)
    layer = harness.make(case)
    values = harness.arguments(case)
    whole = layer(*values.values())
    state = layer.encode_memory(values["memory"])
    batch, length, dim = values["memory"].shape
    shape = (batch, layer.num_heads, length, dim // layer.num_heads)
    assert {key: part.shape for key, part in state.items()} == {
        "keys": shape,
        "values": shape,
    }
    for slice_ in (slice(0, 2), slice(2, 3)):
        part = layer.attend(
            values["queries"][:, slice_], length=LENGTHS, **state
        )
        np.testing.assert_allclose(part, whole[:, slice_], rtol=1e-5, atol=1e-6)


@both
def test_cached_memories_may_be_padded_with_their_first_element(name):
    """As a server does that batches states of different lengths."""
    case = case_named(name)
    layer = harness.make(case)
    values = harness.arguments(case)
    state = layer.encode_memory(values["memory"])
    whole = layer.attend(values["queries"], length=LENGTHS, **state)
    padded = {
        key: np.pad(
            part,
            ((0, 0), (0, 0), (0, 4), (0, 0)),
            constant_values=np.asarray(part)[0, 0, 0, 0],
        )
        for key, part in state.items()
    }
    part = layer.attend(values["queries"], length=LENGTHS, **padded)
    np.testing.assert_allclose(part, whole, rtol=1e-5, atol=1e-6)


def test_halves_make_the_whole_in_half_precision():
    case = case_named("decoder_with_feedforward")
    layer = harness.make(case, dtype="mixed_float16")
    values = harness.arguments(case)
    state = layer.encode_memory(values["memory"])
    part = layer.attend(values["queries"], length=LENGTHS, **state)
    whole = layer(*values.values())
    assert part.dtype == whole.dtype == "float16"
    np.testing.assert_allclose(part, whole, rtol=1e-2, atol=1e-2)


@both
def test_small_candidates_choose_as_sharply_as_large_ones(name):
    """Fresh embeddings are small; attention must not start out even."""
    case = case_named(name)
    layer = harness.make(case)
    values = harness.arguments(case)
    keys = layer.encode_memory(values["memory"])["keys"]
    large, small = (
        layer.attention_weights(scale * values["queries"], keys, LENGTHS)
        for scale in (1.0, 0.03)
    )
    np.testing.assert_allclose(small, large, atol=2e-3)
    assert np.std(large[0]) > 0.02


def test_all_empty_histories_read_the_same_and_move_it():
    case = case_named("decoder")
    layer = harness.make(case)
    values = harness.arguments(case)
    values["length"] = np.zeros(REQUESTS, np.int32)
    (before,) = harness.outputs(layer, values)
    np.testing.assert_allclose(
        before, np.broadcast_to(before[0, 0], before.shape), rtol=1e-5
    )
    layer.no_history.assign(layer.no_history + 1.0)
    (after,) = harness.outputs(layer, values)
    assert np.all(np.any(after != before, axis=-1))


def test_candidates_may_be_of_another_width():
    layer = TargetAttentionDecoder(2)
    queries, memory = np.ones((2, 3, 5)), np.ones((2, 4, 8))
    assert layer(queries, memory, np.array([1, 4])).shape == (2, 3, 8)
    with pytest.raises(ValueError, match=r"equally wide\. Got: 5 and 8"):
        TargetAttentionDecoder(2, 16)(queries, memory, np.array([1, 4]))
