"""PairMatch against single pairs, and what its table refuses."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from jd_tf.layers import PairMatch
from jd_tf.layers.embedding.id_keys import UNUSED
from jd_tf.layers.overlap.pair_match import MAX_ROWS, pair_codes
from tests import case_inputs, references
from tests.case_inputs import CANDIDATES, EVENTS, LENGTHS, REQUESTS
from tests.cases import case_named
from tests.layers import harness


def pairs_of(layer, keys, kind):
    """The table as a dict."""
    codes, weights = layer.codes.numpy(), layer.pair_weights.numpy()
    pairs = {}
    for code, weight in zip(codes.tolist(), weights.tolist(), strict=True):
        table, event, target = (code >> 52, code >> 26, code)
        if code != UNUSED and table == kind:
            pair = (event % MAX_ROWS, target % MAX_ROWS)
            pairs[keys[pair[0]], keys[pair[1]]] = weight
    return pairs


@pytest.mark.parametrize("kind", [0, 1])
def test_equals_single_pairs(kind):
    case = case_named("pair_match")
    layer = harness.make(case)
    pairs = pairs_of(layer, case_inputs.PAIR_KEYS, kind)
    hits = 0
    for seed in range(5):
        values = harness.arguments(case, seed)
        actual = layer(**values, kind=kind).numpy()
        for row, place in np.ndindex(REQUESTS, CANDIDATES):
            expected = references.pair_match(
                values["candidate_ids"][row, place],
                values["history_ids"][row, : LENGTHS[row]],
                values["event_weights"][row],
                pairs,
            )
            harness.assert_same([actual[row, place]], [np.array(expected)])
            hits += expected[0] > 0
    assert hits > 5


def test_a_part_reads_its_own_table():
    """As a layer would that has only this part's table."""
    rng = np.random.default_rng(4)
    keys = np.array(case_inputs.PAIR_KEYS)
    tables = [case_inputs.random_pairs(rng, keys, 2) for _ in range(3)]
    tables[1] = (np.zeros(0, np.int64), np.zeros(0))
    layer = PairMatch(7, 40, num_kinds=2)
    layer.assign(keys, *tables[2])
    values = case_inputs.paired(rng)
    with pytest.raises(ValueError, match="call `assign_parts` before"):
        layer(**values, part=np.zeros(4, np.int32))
    layer.assign_parts(
        np.concatenate(
            [
                codes + pair_codes(2 * part, 0, 0)
                for part, (codes, _) in enumerate(tables)
            ]
        ),
        np.concatenate([weights for _, weights in tables]),
    )
    parts = np.array([2, 0, 1, 0])
    for kind in (0, 1):
        whole = layer(**values, part=parts, kind=kind).numpy()
        for row, part in enumerate(parts):
            alone = PairMatch(7, 40, num_kinds=2)
            alone.assign(keys, *tables[part])
            one = {name: value[row : row + 1] for name, value in values.items()}
            expected = alone(**one, kind=kind).numpy()
            np.testing.assert_allclose(whole[row], expected[0], rtol=1e-6)
    assert whole[0].any()
    assert not whole[2].any()
    assert len(layer.weights) == len(alone.weights)


def test_parts_are_in_no_saved_model(tmp_path):
    layer = harness.make(case_named("pair_match"))
    layer.assign_parts(pair_codes(0, np.array([0, 1, 2, 4]), 3), np.ones(4))
    values = case_inputs.paired(np.random.default_rng(1))
    served = harness.saved_and_loaded(layer, values, tmp_path)
    harness.assert_same(served, harness.outputs(layer, values))
    parts = np.zeros(4, np.int32)
    assert np.any(layer(**values, part=parts).numpy() != served[0])
    stored = tf.train.list_variables(str(tmp_path / "variables" / "variables"))
    assert sum("VARIABLE_VALUE" in name for name, _ in stored) == 3


def test_no_events_and_new_tables():
    layer = harness.make(case_named("pair_match"))
    values = case_inputs.paired(np.random.default_rng(1))
    none = {**values, "length": np.zeros(4, np.int32)}
    none["history_ids"] = none["history_ids"][:, :0]
    none["event_weights"] = none["event_weights"][:, :0]
    assert not layer(**none).numpy().any()
    assert layer(**none).shape == (REQUESTS, CANDIDATES, 6)
    layer.assign([-5, 7], [pair_codes(0, 1, 0)], [0.25])
    ids, history = np.array([[-5, 7]]), np.array([[3, 7]])
    found = layer(ids, history, np.array([2])).numpy()[0]
    np.testing.assert_allclose(found, [[0.125, 0.125**0.5, 0.25, 0.5], [0] * 4])
    # A user state is of keys, so one made before is good.
    assert layer.encode_history(history, np.array([1])).numpy().tolist() == [
        [3, 0]
    ]


def test_padded_weights_may_hold_anything():
    layer = harness.make(case_named("pair_match"))
    values = case_inputs.paired(np.random.default_rng(1))
    expected = layer(**values).numpy()
    for row, length in enumerate(LENGTHS):
        values["event_weights"][row, length:] = np.nan
    np.testing.assert_array_equal(layer(**values), expected)


def test_gradient_of_event_weights_is_finite_without_pairs():
    layer = harness.make(case_named("pair_match"))
    values = case_inputs.paired(np.random.default_rng(1))
    weights = tf.constant(values.pop("event_weights"))
    with tf.GradientTape() as tape:
        tape.watch(weights)
        total = tf.reduce_sum(layer(**values, event_weights=weights))
    gradient = tape.gradient(total, weights).numpy()
    assert np.isfinite(gradient).all()
    assert gradient.any()
    assert gradient.shape == (REQUESTS, EVENTS, 2)


def test_texts_are_looked_up():
    layer = PairMatch(3, 4, id_dtype="string")
    red, blue = layer.keys_of(np.array(["red", "blue"])).numpy()
    keys = np.sort([red, blue])
    row = int(keys[1] == red)
    layer.assign(keys, [pair_codes(0, row, 1 - row)], [4.0])
    words = np.array([["blue", "", "red"]], object)
    found = layer(words, np.array([["", "red"]], object), np.array([2]))
    assert found.numpy()[0, :, 0].tolist() == [2, 0, 0]


def test_tables_without_room_change_nothing():
    layer = PairMatch(2, 2, name="pairs")
    codes = pair_codes(0, np.array([0, 1]), np.array([1, 0]))
    layer.assign([4, 6], codes, [1.0, 2.0])
    room = "room for 2 items and 2 pairs. Got: "
    with pytest.raises(ValueError, match=f"{room}3 and 2"):
        layer.assign([1, 2, 3], codes, [1.0, 2.0])
    with pytest.raises(ValueError, match=f"{room}2 and 3"):
        layer.assign([4, 6], [1, 2, 3], [1.0] * 3)
    found = layer(np.array([[4, 6]]), np.array([[6]]), np.array([1]))
    assert found.numpy()[0, :, 0].tolist() == [2, 0]


def test_keras_does_not_compile_it_with_xla():
    model = keras.Sequential([PairMatch(2, 3)])
    with pytest.warns(UserWarning, match="doesn't support `jit_compile"):
        model.compile(jit_compile=True)
