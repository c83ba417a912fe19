"""Options of the client, and the time that a caller gives a ranking."""

import time

import pytest

from jd_tf.serving.client import ClientOptions, RankingClient
from jd_tf.serving.client.errors import DeadlineError, RequestError
from tests.requests import random_requests
from tests.serving.client.fake_transport import (
    SCHEMA,
    FakeTransport,
    with_candidates,
)

(REQUEST,) = random_requests(SCHEMA, 1, seed=2)


def client_of(transport, **options):
    return RankingClient(transport, SCHEMA, ClientOptions(**options))


@pytest.mark.parametrize("remote", [True, False])
def test_the_deadline_is_of_the_whole_call(remote):
    def before(call, number):
        time.sleep(0.1)

    transport = FakeTransport(before=before, remote=remote)
    options = {"slice_size": 2, "one_call": False, "parallel": 1}
    with client_of(transport, **options) as client:
        start = time.monotonic()
        with pytest.raises(DeadlineError, match="not ranked within"):
            client.rank(with_candidates(REQUEST, 20), timeout=0.25)
        assert time.monotonic() - start < 0.9


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), "1"])
def test_a_timeout_is_a_positive_number(seconds):
    client = client_of(FakeTransport())
    with client, pytest.raises(RequestError, match="timeout"):
        client.rank(REQUEST, timeout=seconds)


def test_settings_are_checked():
    for options, message in (
        ({"slice_size": 8}, "from 1 to 7"),
        ({"buckets": (3, 2, 7)}, "must ascend"),
        ({"buckets": (2, 4)}, "must ascend to `slice_size`"),
        ({"parallel": 0}, "`parallel`"),
        ({"max_users": -1}, "not negative"),
        ({"timeout": 0}, "timeout"),
    ):
        with pytest.raises(RequestError, match=message):
            client_of(FakeTransport(), **options)
    with pytest.raises(RequestError, match="does not send its schema"):
        RankingClient(FakeTransport())
