"""IdOverlap against a loop over events."""

import numpy as np
import pytest

from jd_tf.layers import IdOverlap
from tests import references
from tests.cases import CANDIDATES, LENGTHS, REQUESTS, case_named
from tests.layers import harness


@pytest.mark.parametrize("name", ["id_overlap", "id_overlap_of_values"])
def test_equals_a_loop(name):
    case = case_named(name)
    layer = harness.make(case)
    for seed in range(5):
        values = harness.arguments(case, seed)
        (actual,) = harness.outputs(layer, values)
        for row, candidate in np.ndindex(REQUESTS, CANDIDATES):
            expected = references.id_overlap(
                values["candidate_ids"][row, candidate],
                values["history_ids"][row, : LENGTHS[row]],
                values["event_weights"][row],
                layer.max_values,
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


def test_an_event_counts_by_the_share_of_the_candidates_values():
    candidates = np.array([[[5, 6, 7, 8], [5, 0, 0, 0], [0, 0, 0, 0]]])
    events = np.array([[[6, 9, 5, 0], [0, 0, 0, 0], [5, 6, 7, 8]]])
    layer = IdOverlap(max_values=(4,))
    found = layer(candidates, events, np.array([3]))[0]
    np.testing.assert_allclose(found[:, 0], [0.5, 2 / 3, 0], rtol=1e-6)
    np.testing.assert_allclose(found[0, 2], np.log1p(1.5), rtol=1e-6)
    turned = layer(candidates[..., ::-1], events[..., ::-1], np.array([3]))[0]
    np.testing.assert_allclose(found, turned, rtol=1e-6)


def test_a_value_that_an_event_has_twice_counts_once():
    candidates, events = np.array([[[5, 6]]]), np.array([[[5, 5]]])
    found = IdOverlap(max_values=(2,))(candidates, events, np.array([1]))
    np.testing.assert_allclose(found[0, 0, 0], 0.5)


def test_ids_that_do_not_fit_max_values_are_refused():
    ids = np.ones((1, 2, 3), np.int64)
    with pytest.raises(ValueError, match=r"`max_values` \(1, 4\) say"):
        IdOverlap(max_values=(1, 4))(ids, ids, np.array([2]))


def test_ids_that_differ_in_their_last_bit_do_not_match():
    large = np.array([[[2**62]]])
    layer = IdOverlap()
    assert not np.any(layer(large, large + 1, np.array([1])))
    np.testing.assert_allclose(
        layer(large, large, np.array([1]))[0, 0],
        [1, 1, np.log(2), 1],
        rtol=1e-6,
    )


def test_weights_of_padding_count_nothing():
    ids, weights = np.array([[[5], [5]]]), np.array([[[2.0], [np.nan]]])
    found = IdOverlap()(ids[:, :1], ids, np.array([1]), weights)
    np.testing.assert_allclose(found[0, 0, 3], np.log(3), rtol=1e-6)


def test_rare_values_count_more():
    """The share weighs by log(ids / its ids) squared, against loops."""
    generator = np.random.default_rng(4)
    seen = generator.integers(1, 8, (50, 4))
    candidates = generator.integers(0, 8, (2, 5, 4))
    history = generator.integers(0, 8, (2, 6, 4))
    length = np.array([6, 3])
    layer = IdOverlap(max_values=(1, 3), value_rows=(0, 8))
    plain = layer(candidates, history, length).numpy()
    assert not layer.adapted
    layer.adapt(seen)
    assert layer.adapted
    found = layer(candidates, history, length).numpy()
    # The column of one value has no weights.
    np.testing.assert_array_equal(found[..., :4], plain[..., :4])
    weights = [
        np.log(51 / (1 + min((seen[:, 1:] == value).sum(), 49))) ** 2
        for value in range(8)
    ]
    for user in range(2):
        for place, item in enumerate(candidates[user]):
            values = [value for value in item[1:] if value]
            total = sum(weights[value] for value in values)
            shares = [
                sum(weights[v] for v in values if v in event[1:]) / total
                if total
                else 0.0
                for event in history[user, : length[user]]
            ]
            np.testing.assert_allclose(
                found[user, place, 4], np.mean(shares), rtol=1e-4, atol=1e-6
            )
