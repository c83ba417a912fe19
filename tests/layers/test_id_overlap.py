"""IdOverlap against a loop over events."""

import numpy as np

from jd_tf.layers import IdOverlap
from tests import references
from tests.cases import CANDIDATES, LENGTHS, REQUESTS, case_named
from tests.layers import harness


def test_equals_a_loop():
    case = case_named("id_overlap")
    layer = harness.make(case)
    for seed in range(5):
        values = harness.arguments(case, seed)
        (actual,) = harness.outputs(layer, values)
        for row, candidate in np.ndindex(REQUESTS, CANDIDATES):
            expected = references.id_overlap(
                values["candidate_ids"][row, candidate],
                values["history_ids"][row, : LENGTHS[row]],
                values["event_weights"][row],
            )
            harness.assert_same([actual[row, candidate]], [expected])


def test_without_positions_order_does_not_matter():
    ids = np.array([[[5], [6], [5]]])
    length = np.array([3])
    layer = IdOverlap(use_position=False)
    np.testing.assert_allclose(
        layer(ids[:, :1], ids, length), layer(ids[:, :1], ids[:, ::-1], length)
    )
    shuffled = np.array([[[6], [5], [5]]])
    np.testing.assert_allclose(
        layer(ids[:, :1], ids, length), layer(ids[:, :1], shuffled, length)
    )
    found = IdOverlap()(ids[:, :1], shuffled, length)
    assert not np.allclose(found, IdOverlap()(ids[:, :1], ids, length))


def test_a_missing_id_matches_nothing():
    none = np.zeros((1, 2, 1), np.int64)
    found = IdOverlap()(none, none, np.array([2]))
    assert not np.any(found)


def test_ids_that_differ_in_their_last_bit_do_not_match():
    large = np.array([[[2**62]]])
    layer = IdOverlap()
    assert not np.any(layer(large, large + 1, np.array([1])))
    np.testing.assert_allclose(
        layer(large, large, np.array([1]))[0, 0], [1, 1, np.log(2)], rtol=1e-6
    )


def test_weights_of_padding_count_nothing():
    ids, weights = np.array([[[5], [5]]]), np.array([[[2.0], [np.nan]]])
    found = IdOverlap()(ids[:, :1], ids, np.array([1]), weights)
    np.testing.assert_allclose(found[0, 0, 3], np.log(3), rtol=1e-6)
