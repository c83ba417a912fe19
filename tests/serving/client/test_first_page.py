"""The calls of a first page, and the pages that find its state."""

import numpy as np
import pytest

from tests.serving.client.fake_transport import (
    FakeTransport,
    with_candidates,
)
from tests.serving.client.test_ranking_client import REQUESTS, check, client_of


def test_first_sight_is_one_call_and_the_second_encodes():
    with client_of(transport := FakeTransport(), one_call=True) as client:
        for _ in range(4):
            check(client.rank(REQUESTS[0]), REQUESTS[0], 1)
    assert [name for name, _ in transport.calls] == [
        "serving_default",
        "encode_and_rank",
        "rank_candidates",
        "rank_candidates",
    ]
    assert transport.described == 1
    assert transport.closed
    stats = client.stats()
    assert stats["requests"] == 4
    assert stats["calls"] == transport.signatures()
    assert stats["cache"]["hits"] == 2


def test_the_first_page_encodes_for_those_that_follow():
    with client_of(transport := FakeTransport()) as client:
        check(client.rank(REQUESTS[0]), REQUESTS[0], 1)
    assert transport.signatures() == {"encode_and_rank": 1}


def test_slices_share_what_is_encoded_before_them():
    with client_of(transport := FakeTransport(), slice_size=3) as client:
        for _ in range(2):
            check(client.rank(REQUESTS[0]), REQUESTS[0], 1)
    assert transport.signatures() == {"encode_user": 1, "rank_candidates": 4}


def test_other_pages_of_a_user_share_the_state():
    with client_of(transport := FakeTransport(), one_call=False) as client:
        for count in (3, 7, 1, 20):
            page = with_candidates(REQUESTS[1], count)
            check(client.rank(page), page, 1)
    # The last one is three slices.
    calls = {"encode_and_rank": 1, "rank_candidates": 5}
    assert transport.signatures() == calls


def test_other_requests_of_a_user_share_the_state():
    """Time, page and session enter when ranking; no state knows them."""
    first = REQUESTS[0]
    requests = [
        first,
        {**first, "hour": first["hour"] + 1, "scenario": 3},
        {**first, "session_dense": np.ones(3)},
        {**first, "user_id": "somebody else"},
    ]
    with client_of(transport := FakeTransport(), one_call=False) as client:
        for request in requests:
            check(client.rank(request), request, 1)
    ranked = [i for name, i in transport.calls if name == "rank_candidates"]
    calls = {"encode_and_rank": 1, "rank_candidates": 3}
    assert transport.signatures() == calls
    assert ranked[0]["hour"] == first["hour"] + 1
    np.testing.assert_array_equal(ranked[1]["session_dense"], np.ones((1, 3)))
    assert not any("click_item_id" in inputs for inputs in ranked)


@pytest.mark.parametrize("column", ["click_item_id", "order_brand_id"])
def test_another_history_is_encoded_anew(column):
    first = max(REQUESTS, key=lambda r: min(len(r[column]), 3))
    changed = np.array(first[column])
    changed[0] = "other" if column.endswith("brand_id") else changed[0] + 1
    other = {**first, column: changed}
    with client_of(transport := FakeTransport(), one_call=False) as client:
        for request in (first, other, first, other):
            check(client.rank(request), request, 1)
    assert transport.signatures()["encode_and_rank"] == 2


def test_a_later_page_finds_the_state():
    first = REQUESTS[2]
    later = {**first, "request_time": first["request_time"] + 604_800}
    with client_of(transport := FakeTransport()) as client:
        client.rank(first)
        client.rank(later)
        assert client.stats()["cache"]["hits"] == 1
    (_, before), (_, after) = transport.calls
    assert after["request_time"] == before["request_time"] + 604_800
    assert transport.signatures() == {
        "encode_and_rank": 1,
        "rank_candidates": 1,
    }


def test_a_version_switch_on_the_first_page_keeps_no_state():
    """One call is of one version; its state may have another's names."""
    transport = FakeTransport()

    def before(call, number):
        transport.version = 2

    transport.before = before
    with client_of(transport) as client:
        for _ in range(3):
            check(client.rank(REQUESTS[0]), REQUESTS[0], 2)
        assert client.stats()["version_switches"] == 0
    calls = {"encode_and_rank": 2, "rank_candidates": 1}
    assert transport.signatures() == calls
