"""Interests that a history gives to the experts."""

import numpy as np
import tensorflow as tf

from tests import references
from tests.block_cases import BLOCK_CASES
from tests.interaction_references import weights_of


def _read():
    """Returns a reader, its interests, and what NumPy makes of its memory."""
    case = next(case for case in BLOCK_CASES if case.name == "behavior_reader")
    reader = case.create()
    reader.build()
    values = case.inputs(np.random.default_rng(4))
    names = ("tokens", "events", "length", "rows", "content_embeddings")
    memories = []
    reader.encoder.call = _kept(reader.encoder.call, memories)

    def encode():
        return reader.encode(**{name: values[name] for name in names})[1]

    interests = encode().numpy()
    (memory,) = memories
    crossing = weights_of(reader.interest_crossing)
    expected = [
        references.interest_crossing(events[:length], crossing)
        for events, length in zip(
            memory.numpy(), values["length"].tolist(), strict=True
        )
    ]
    first, second = map(np.array, zip(*expected, strict=True))
    return reader, encode, interests, first, second


def _kept(call, found):
    def keep(*arguments, **options):
        found.append(call(*arguments, **options))
        return found[-1]

    return keep


def test_the_second_order_enters_by_a_gain_from_zero_on():
    reader, encode, interests, first, second = _read()
    width = reader.model_dim
    np.testing.assert_allclose(interests[:, :width], first, atol=1e-5)
    np.testing.assert_array_equal(interests[:, width:], 0.0)
    gain = np.linspace(-1.0, 2.0, width).astype("float32")
    reader.second_order_gain.assign(gain)
    assert np.abs(second).max() > 0.1
    np.testing.assert_allclose(encode()[:, width:], gain * second, atol=1e-5)


def test_the_gain_learns_though_it_begins_at_zero():
    reader, encode, _, _, second = _read()
    with tf.GradientTape() as tape:
        read = tf.reduce_sum(encode()[:, reader.model_dim :])
    gradient = tape.gradient(read, reader.second_order_gain.value)
    np.testing.assert_allclose(gradient, second.sum(axis=0), atol=1e-4)
