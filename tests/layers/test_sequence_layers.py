"""Layers of sequence models against loops, and what is kept of events."""

import numpy as np
import pytest
import tensorflow as tf

from jd_tf import layers
from jd_tf.layers.sequence.kept_events import join_events, merge_events
from tests import sequence_references as reference
from tests.cases import CANDIDATES, EVENTS, LENGTHS, REQUESTS, case_named
from tests.layers import harness


def test_local_activation_equals_a_loop():
    case = case_named("local_activation_unit")
    layer, values = harness.make(case), harness.arguments(case)
    weights = harness.weights_of(layer)
    (actual,) = harness.outputs(layer, values)
    for row, place in np.ndindex(REQUESTS, CANDIDATES):
        expected = reference.local_activation(
            values["candidates"][row, place].astype(np.float64),
            values["events"][row, : LENGTHS[row]],
            weights,
        )
        harness.assert_same([actual[row, place]], [expected], 1e-4)


@pytest.mark.parametrize("weighed", [False, True])
def test_attentional_gru_equals_a_loop(weighed):
    case = case_named("gated_recurrent_unit")
    layer, values = harness.make(case), harness.arguments(case)
    weights = harness.weights_of(layer)
    if weighed:
        shares = np.random.default_rng(0).random((REQUESTS, 2, EVENTS))
        values["weights"] = shares.astype(np.float32)
    (actual,) = harness.outputs(layer, values)
    for row, length in enumerate(LENGTHS):
        events = values["inputs"][row, :length].astype(np.float64)
        if not weighed:
            expected = reference.attentional_gru(events, None, weights)
            for place, state in enumerate(expected):
                harness.assert_same([actual[row, place]], [state], 1e-4)
            assert not np.any(actual[row, length:])
            continue
        for number in range(2):
            states = reference.attentional_gru(
                events, values["weights"][row, number], weights
            )
            last = states[0] if states else np.zeros(layer.units)
            harness.assert_same([actual[row, number]], [last], 1e-4)


def test_attentional_gru_of_no_events_is_zero_in_a_graph():
    layer = harness.make(case_named("gated_recurrent_unit"))
    follow = tf.function(
        layer.call,
        input_signature=[
            tf.TensorSpec((None, None, 8)),
            tf.TensorSpec((None,), tf.int32),
            tf.TensorSpec((None, None, None)),
        ],
    )
    none = follow(
        tf.zeros((2, 0, 8)), tf.zeros(2, "int32"), tf.zeros((2, 3, 0))
    )
    np.testing.assert_array_equal(none, np.zeros((2, 3, 5)))


def test_hstu_block_equals_a_loop():
    case = case_named("hstu_block")
    layer, values = harness.make(case), harness.arguments(case)
    weights = harness.weights_of(layer)
    (actual,) = harness.outputs(layer, values)
    for row, length in enumerate(LENGTHS):
        events = values["inputs"][row, :length].astype(np.float64)
        times = values["event_time"][row, :length]
        for place in range(length):
            expected = reference.hstu_read(
                events[place],
                times[place],
                events[place + 1 :],
                times[place + 1 :],
                weights,
                layer.num_heads,
                layer.max_length,
            )
            harness.assert_same([actual[row, place]], [expected], 1e-4)


def _causal(name):
    """A layer, its arguments, and its `extend` of (events, kept) -> state."""
    case = case_named(name)
    layer, values = harness.make(case), harness.arguments(case)
    inputs, times = values["inputs"], values.get("event_time")

    def extend(start, kept, kept_length):
        """Encodes events from `start` on to where those kept begin."""
        length = np.maximum(LENGTHS - start, 0) - kept_length
        new = inputs[:, start : start + max(length.max(), 1)]
        if times is None:
            return layer.extend(new, length, kept, kept_length)
        time = times[:, start:]
        return layer.extend(new, length, kept, kept_length, event_time=time)

    return layer, values, extend


@pytest.mark.parametrize("name", ["causal_transformer_encoder", "hstu_block"])
def test_events_in_two_parts_are_as_in_one(name):
    layer, values, extend = _causal(name)
    whole, states = extend(0, None if "hstu" in name else (), 0)
    harness.assert_same(
        [np.asarray(whole)[:2, :4]],
        [harness.outputs(layer, values)[0][:2, :4]],
    )
    old = np.maximum(LENGTHS - 2, 0)
    _, kept = extend(2, None if "hstu" in name else (), 0)
    new, joined = extend(0, kept, old)
    harness.assert_same([np.asarray(new)[:2, :2]], [np.asarray(whole)[:2, :2]])
    for one, other in zip(
        tf.nest.flatten(joined), tf.nest.flatten(states), strict=True
    ):
        for row, length in enumerate(LENGTHS):
            harness.assert_same(
                [one.numpy()[row, :, :length]], [other.numpy()[row, :, :length]]
            )


@pytest.mark.parametrize("name", ["causal_transformer_encoder", "hstu_block"])
def test_a_candidate_reads_as_the_newest_event_would(name):
    layer, values, _ = _causal(name)
    candidates = np.random.default_rng(1).normal(size=(REQUESTS, 3, 8))
    candidates = candidates.astype(np.float32)
    now = np.array([10**9 + 50] * REQUESTS)
    in_front = {"length": LENGTHS + 1}
    if "hstu" in name:
        times = values["event_time"]
        _, state = layer.extend(values["inputs"], LENGTHS, event_time=times)
        found = layer.read(
            candidates, **state, length=LENGTHS, time=now, event_time=times
        )
        in_front["event_time"] = np.concatenate([now[:, None], times], axis=1)
    else:
        _, states = layer.extend(values["inputs"], LENGTHS)
        found = layer.read(candidates, states, LENGTHS)
    for number in range(3):
        first = candidates[:, number : number + 1]
        inputs = np.concatenate([first, values["inputs"]], axis=1)
        (expected,) = harness.outputs(layer, {"inputs": inputs, **in_front})
        harness.assert_same([found[:, number]], [expected[:, 0]])


def test_joined_events_are_the_newest_of_the_window():
    new, kept = np.array([[9, 8, 7], [6, -1, -1]]), np.array([[5, 4], [3, 2]])
    length = np.array([3, 1])
    whole = join_events(new, length, kept).numpy()
    assert whole[0].tolist() == [9, 8, 7, 5, 4]
    assert whole[1, :3].tolist() == [6, 3, 2]
    cut = join_events(new, length, kept, window=2).numpy()
    assert cut.tolist() == [[9, 8], [6, 3]]
    keys = join_events(new[:, None], length, kept[:, None], axis=2).numpy()
    np.testing.assert_array_equal(keys[:, 0], whole)


def test_merged_histories_are_in_the_order_of_time():
    rng = np.random.default_rng(2)
    least = np.iinfo(np.int64).min
    times = [-np.sort(rng.integers(0, 9, (5, width))) for width in (4, 3)]
    times[0][1, 0] = least  # an event of that time is no padding
    lengths = [np.array([4, 1, 0, 2, 3]), np.array([0, 3, 0, 2, 3])]
    for one, length in zip(times, lengths, strict=True):
        for row, count in enumerate(length):
            one[row, count:] = rng.choice([least, 0, -least - 1])
    vectors = [rng.normal(size=(*one.shape, 2)) for one in times]
    merged, sorted_times, total = merge_events(vectors, times, lengths)
    for row in range(5):
        events = [
            (-int(time), number, tuple(vector))
            for number in range(2)
            for time, vector in zip(
                times[number][row, : lengths[number][row]],
                vectors[number][row],
                strict=False,
            )
        ]
        events.sort(key=lambda event: event[:2])
        assert int(total[row]) == len(events)
        for place, (time, _, vector) in enumerate(events):
            assert int(sorted_times[row, place]) == -time
            np.testing.assert_array_equal(merged[row, place], vector)
    cut, _, short = merge_events(vectors, times, lengths, window=3)
    np.testing.assert_array_equal(cut, merged[:, :3])
    np.testing.assert_array_equal(short, np.minimum(total, 3))


@pytest.mark.parametrize(
    ("layer", "arguments", "message"),
    [
        (layers.LocalActivationUnit, {"hidden_units": ()}, "`hidden_units`"),
        (layers.AttentionalGRU, {"units": 0}, "`units`.* Got: 0"),
        (layers.HSTUBlock, {"num_heads": 0, "max_length": 5}, "`num_heads`"),
        (layers.HSTUBlock, {"num_heads": 1, "max_length": 0}, "`max_length`"),
    ],
)
def test_errors_name_the_argument(layer, arguments, message):
    with pytest.raises(ValueError, match=message):
        layer(**arguments)
