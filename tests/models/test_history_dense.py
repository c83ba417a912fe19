"""JDRanker reads dense features of past events beside the candidates'."""

import keras
import numpy as np
import pytest

from jd_tf.models.ranking.jd_ranker import JDRanker
from jd_tf.schema import Behavior
from tests.block_cases import BLOCK_CASES
from tests.cases import CANDIDATES, LENGTHS, REQUESTS
from tests.layers import harness
from tests.models.test_jd_ranker import (
    CONFIG,
    TOLERANCE,
    batch_of,
    moved,
    real,
)
from tests.requests import random_requests, small_schema

SCHEMA = small_schema(
    item_dense=("age", "price", "stock"),
    linear_dense=("stock",),
    behaviors=(
        Behavior("click", 12, item_dense=("price", "stock")),
        Behavior("order", 6),
    ),
)


@pytest.fixture(scope="module")
def requests():
    found = random_requests(SCHEMA, 20)
    assert any(not len(r["click_item_dense"]) for r in found)
    return found


@pytest.fixture(scope="module")
def model(requests):
    keras.utils.set_random_seed(3)
    model = JDRanker(SCHEMA, CONFIG)
    model.adapt([batch_of(requests, SCHEMA)])
    return moved(model)


def _scores(model, requests):
    return model(batch_of(requests, SCHEMA))["score"].numpy()


def _differences(candidate, events):
    """Loop over the features of one candidate; events (L, F)."""
    if not len(events):
        return np.zeros(3 * len(candidate))
    to_mean, to_newest, nearest = [], [], []
    for feature, number in enumerate(candidate):
        past = events[:, feature]
        to_mean.append(number - past.mean())
        to_newest.append(number - past[0])
        nearest.append(min(abs(number - one) for one in past))
    return np.array([*to_mean, *to_newest, *nearest])


def test_candidates_are_compared_with_real_events():
    (case,) = [c for c in BLOCK_CASES if c.name.endswith("dense_features")]
    layer, values = harness.make(case), harness.arguments(case)
    assert 0 in LENGTHS
    events = values["events"]["item_dense"]
    for row, length in enumerate(LENGTHS):
        events[row, length:] = np.nan
    (found,) = harness.outputs(layer, values)
    assert np.isfinite(found[..., -9:]).all()
    for row, candidate in np.ndindex(REQUESTS, CANDIDATES):
        expected = _differences(
            values["candidate_dense"][row, candidate],
            events[row, : LENGTHS[row]],
        )
        harness.assert_same([found[row, candidate, -9:]], [expected])


def test_a_token_has_the_numbers_of_its_event():
    (case,) = [c for c in BLOCK_CASES if c.name.endswith("dense_features")]
    layer, values = harness.make(case), harness.arguments(case)
    read, args = (
        [],
        {name: values[name] for name in ("tokens", "events", "length", "rows")},
    )
    layer.encoder.call = lambda tokens, *_, **__: read.append(tokens) or tokens
    layer.encode(**args)
    numbers = args["events"]["item_dense"].copy()
    args["events"] = {
        **args["events"],
        "item_dense": np.zeros_like(numbers),
    }
    layer.encode(**args)
    kernel, bias = layer.dense_map.kernel.numpy(), layer.dense_map.bias.numpy()
    assert np.abs(bias).max() > 0.05  # padding and zeros get it too
    for row, length in enumerate(LENGTHS):
        added = np.asarray(read[0] - read[1])[row, :length]
        expected = [one @ kernel for one in numbers[row, :length]]
        if length:
            harness.assert_same([added], [np.array(expected)], 1e-4)


def test_events_and_candidates_are_normalised_alike(model, requests):
    """A candidate with the numbers of all events differs by nothing."""
    alike = []
    for request in requests:
        request = {k: np.copy(v) for k, v in request.items()}
        request["item_dense"][:, 1:] = (40.0, 3.0)
        request["click_item_dense"][:] = (40.0, 3.0)
        alike.append(request)
    batch = batch_of(alike, SCHEMA)
    state = model.encode_histories(batch)
    context = model.encode_request(state, batch)
    found = []
    for reader in model.readers[:1]:
        whole = reader.read

        def read(*args, whole=whole):
            found.append(whole(*args)[-1])
            return whole(*args)

        reader.read = read
        try:
            model._candidate_features(state, context, batch, [])
        finally:
            reader.read = whole
    assert found[0].shape[-1] == 6
    mask = real(batch)
    np.testing.assert_allclose(found[0].numpy()[mask], 0.0, atol=1e-6)


def test_numbers_of_events_move_scores(model, requests):
    for feature in range(2):
        changed = []
        for request in requests:
            numbers = np.copy(request["click_item_dense"])
            numbers[:, feature] = numbers[::-1, feature] + 5.0
            changed.append({**request, "click_item_dense": numbers})
        before, after = _scores(model, requests), _scores(model, changed)
        for row, request in enumerate(requests):
            shown = slice(len(request["item_id"]))
            same = np.allclose(
                before[row, shown], after[row, shown], **TOLERANCE
            )
            assert same == (not len(request["click_item_dense"]))


def test_no_history_at_all_is_served(model, requests):
    empty = [r for r in requests if not len(r["click_item_dense"])]
    batch = batch_of(empty[:1], SCHEMA)
    assert batch["click_item_dense"].shape == (1, 0, 2)
    expected = _scores(model, [*empty[:1], *requests])[:1]
    found = _scores(model, empty[:1])
    np.testing.assert_allclose(
        found, expected[:, : found.shape[1]], **TOLERANCE
    )
