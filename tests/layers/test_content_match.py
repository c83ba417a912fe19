"""ContentMatch against a loop, and its invariants."""

import numpy as np

from jd_tf.layers import ContentMatch
from tests import references
from tests.cases import CANDIDATES, LENGTHS, REQUESTS, case_named
from tests.layers import harness


def _found(vectors, present):
    return [
        vector if there else None
        for vector, there in zip(vectors, present, strict=True)
    ]


def test_equals_a_loop():
    case = case_named("content_match")
    layer = harness.make(case)
    for seed in range(5):
        values = harness.arguments(case, seed)
        (actual,) = harness.outputs(layer, values)
        weights = [w.numpy() for w in layer.weights]
        for row in range(REQUESTS):
            length = LENGTHS[row]
            candidates = _found(
                values["candidate_vectors"][row],
                values["candidate_present"][row],
            )
            events = _found(
                values["history_vectors"][row, :length],
                values["history_present"][row, :length],
            )
            for place in range(CANDIDATES):
                expected = references.content_match(
                    candidates[place],
                    events,
                    values["event_weights"][row, :length],
                    weights,
                    layer.num_heads,
                )
                harness.assert_same([actual[row, place]], [expected])


def test_same_content_scores_above_its_opposite():
    layer = ContentMatch(4, 1)
    seen = np.array([[[1.0, 2.0, 0.0, -1.0]]], np.float32)
    shown = np.concatenate([seen, -seen], axis=1)
    there = np.ones((1, 2), bool)
    found = layer(shown, there, seen, there[:, :1], np.array([1]))
    # A profile of one event is half that event.
    np.testing.assert_allclose(found[0, :, 0], [0.5, -0.5], rtol=1e-5)


def test_scale_of_vectors_does_not_matter():
    case = case_named("content_match")
    layer, values = harness.make(case), harness.arguments(case, 1)
    scaled = {
        **values,
        "candidate_vectors": 1000 * values["candidate_vectors"],
        "history_vectors": values["history_vectors"] / 1000,
    }
    harness.assert_same(
        harness.outputs(layer, scaled), harness.outputs(layer, values)
    )


def test_absent_vectors_are_not_read():
    case = case_named("content_match")
    layer, values = harness.make(case), harness.arguments(case, 1)
    wild = dict(values)
    for name in ("candidate", "history"):
        vectors = values[f"{name}_vectors"].copy()
        vectors[~values[f"{name}_present"]] = np.nan
        wild[f"{name}_vectors"] = vectors
    harness.assert_same(
        harness.outputs(layer, wild), harness.outputs(layer, values)
    )


def test_without_weights_every_event_counts_one():
    case = case_named("content_match")
    values = harness.arguments(case, 1)
    layer = harness.make(case)
    ones = np.ones_like(values["event_weights"])[..., :1]
    (counted,) = harness.outputs(layer, {**values, "event_weights": ones})
    rest = {k: v for k, v in values.items() if k != "event_weights"}
    plain = np.asarray(layer(**rest))
    assert plain.shape[-1] == layer.num_features(0) == layer.num_heads
    harness.assert_same([plain], [counted])
