"""Servers that are down or slow: attempts, budgets, deadlines."""

import time

import pytest

from jd_tf.serving.client import RetryPolicy
from jd_tf.serving.client.errors import (
    DeadlineError,
    ModelNotFoundError,
    OverloadedError,
    RejectedError,
    RequestError,
    UnavailableError,
)
from tests.serving.client.fake_transport import FakeTransport, with_candidates
from tests.serving.client.test_ranking_client import REQUESTS, check, client_of


@pytest.mark.parametrize("failures", [1, 3])
def test_unavailable_is_tried_again(failures):
    def before(call, number):
        if number < failures:
            raise UnavailableError("down.")

    with client_of(transport := FakeTransport(before=before)) as client:
        check(client.rank(REQUESTS[0]), REQUESTS[0], 1)
    assert len(transport.calls) == failures + 1
    assert client.stats()["retries"] == failures


@pytest.mark.parametrize(
    "error", [OverloadedError, RejectedError, DeadlineError, ModelNotFoundError]
)
def test_nothing_else_is_tried_again(error):
    def before(call, number):
        raise error("x")

    client = client_of(transport := FakeTransport(before=before))
    with client, pytest.raises(error):
        client.rank(REQUESTS[0])
    assert len(transport.calls) == 1


def test_attempts_and_budget_are_bounded():
    def before(call, number):
        raise UnavailableError("down.")

    retries = RetryPolicy(
        max_attempts=3, initial_seconds=0.001, max_seconds=0.001, budget=5
    )
    transport = FakeTransport(before=before)
    with client_of(transport, retries=retries) as client:
        counts = []
        for _ in range(4):
            asked = len(transport.calls)
            with pytest.raises(UnavailableError) as caught:
                client.rank(REQUESTS[0])
            counts.append(len(transport.calls) - asked)
    # Its describing call succeeded and gave a tenth of a retry back.
    assert counts == [3, 3, 2, 1]
    assert "budget for retries is used up" in str(caught.value)


def test_no_retry_is_made_that_would_come_too_late():
    def before(call, number):
        raise UnavailableError("down.")

    retries = RetryPolicy(initial_seconds=5.0, max_seconds=5.0)
    transport = FakeTransport(before=before)
    start = time.monotonic()
    client = client_of(transport, retries=retries)
    late = pytest.raises(UnavailableError, match="No time for attempt 2")
    with client, late:
        client.rank(REQUESTS[0], timeout=2.0)
    assert time.monotonic() - start < 2


@pytest.mark.parametrize("remote", [True, False])
def test_the_deadline_is_of_the_whole_call(remote):
    def before(call, number):
        time.sleep(0.1)

    transport = FakeTransport(before=before, remote=remote)
    options = {"slice_size": 2, "one_call": False, "parallel": 1}
    with client_of(transport, **options) as client:
        start = time.monotonic()
        with pytest.raises(DeadlineError, match="not ranked within"):
            client.rank(with_candidates(REQUESTS[0], 20), timeout=0.25)
        assert time.monotonic() - start < 0.9


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), "1"])
def test_what_is_no_timeout_is_refused(seconds):
    client = client_of(FakeTransport())
    with client, pytest.raises(RequestError, match="timeout"):
        client.rank(REQUESTS[0], timeout=seconds)
