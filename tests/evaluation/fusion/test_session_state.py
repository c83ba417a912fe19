"""State of sessions, and the hidden facts of a simulator."""

import numpy as np
import pytest

from jd_tf.evaluation.collect import collect_predictions
from jd_tf.evaluation.fusion.observation import (
    name_hidden_facts,
    session_counts,
)
from tests.evaluation.fusion.fused_shop import (
    PAGES,
    SESSION,
    shop,
    shop_batches,
    shop_schema,
)
from tests.evaluation.toy_shop import toy_batch


@pytest.fixture(scope="module")
def observation():
    return shop()


def test_session_counts_are_those_of_the_recent_events():
    batch, schema = toy_batch(7), shop_schema()
    found, actions = session_counts(batch, schema, SESSION)
    for row in range(100):
        events, reads = [], 0.0
        for behavior in ("click", "order"):
            recent = [
                event
                for event in range(batch[f"{behavior}_length"][row])
                if batch["request_time"][row]
                - batch[f"{behavior}_event_time"][row, event]
                <= SESSION
            ]
            events.append(len(recent))
            if behavior == "click":
                reads = batch["click_action_counts"][row, recent, 1:].sum()
        assert found[row].tolist() == events
        assert actions[row] == reads


def test_segments_are_those_of_the_session_and_of_hidden_facts(observation):
    segments = observation.predictions.segments
    events = np.concatenate(
        [
            session_counts(batch, shop_schema(), SESSION)[0]
            for batch in shop_batches(0)[0]
        ]
    )
    reached = np.where(
        events[:, 1] > 0,
        "order",
        np.where(events[:, 0] > 0, "click", "nothing"),
    )
    assert segments["done_so_far"].tolist() == reached.tolist()
    assert set(segments["intent"]) == {"browsing", "buying"}
    assert set(segments["scenario"]) == set(PAGES)
    assert set(segments["proxy_intent"]) == {"engaged", "looking_around"}
    assert (segments["proxy_intent"][reached == "order"] == "engaged").all()


def test_hidden_facts_part_requests_by_their_names():
    schema = shop_schema()
    seen = collect_predictions(
        shop_batches(0, 1)[0],
        schema,
        {"none": lambda batch: {"score": np.zeros(batch["item_id"].shape)}},
        columns=["oracle_intent"],
    )
    raw = seen.columns["oracle_intent"]
    parts = name_hidden_facts(seen).columns_by_request()
    assert "oracle_intent" not in parts
    np.testing.assert_array_equal(
        parts["intent"], np.where(raw == 1, "buying", "browsing")
    )
