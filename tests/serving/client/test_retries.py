"""Servers that are down: attempts, waits, and the budget for retries."""

import asyncio
import time

import numpy as np
import pytest

from jd_tf.serving.client import (
    AsyncGrpcTransport,
    GrpcTransport,
    ModelChoice,
    RestTransport,
    RetryPolicy,
)
from jd_tf.serving.client.errors import (
    ClientError,
    DeadlineError,
    ModelNotFoundError,
    OverloadedError,
    RequestError,
    UnavailableError,
)
from jd_tf.serving.client.transport import Call, Describe
from tests.serving.client.failing_servers import (
    FailingGrpcServer,
    FailingRestServer,
)

MODEL = ModelChoice("m")
QUICK = {"initial_seconds": 0.01, "max_seconds": 0.02}
KINDS = {
    "grpc": (FailingGrpcServer, GrpcTransport),
    "rest": (FailingRestServer, RestTransport),
}


@pytest.fixture(params=list(KINDS))
def kind(request):
    return request.param


@pytest.fixture
def server(kind):
    with KINDS[kind][0]() as server:
        yield server


@pytest.fixture
def connect(kind, server):
    """Opens a transport to the server with a retry policy."""
    opened = []

    def connect(**policy):
        policy = RetryPolicy(**{**QUICK, **policy})
        transport = KINDS[kind][1](server.address, MODEL, retries=policy)
        opened.append(transport)
        return transport

    yield connect
    for transport in opened:
        transport.close()


def down(number):
    return "UNAVAILABLE"


@pytest.mark.parametrize("code", ["UNAVAILABLE", "RESOURCE_EXHAUSTED"])
@pytest.mark.parametrize("failures", [1, 3])
def test_what_was_not_begun_is_tried_again(code, failures, server, connect):
    server.fails = lambda n: code if n <= failures else None
    assert connect().call(Describe(), 5.0).version == 1
    assert server.attempts == failures + 1


def test_nothing_else_is_tried_again(server, connect):
    server.fails = lambda number: "NOT_FOUND"
    with pytest.raises(ModelNotFoundError):
        connect().call(Describe(), 5.0)
    assert server.attempts == 1


@pytest.mark.parametrize("most", [1, 3])
@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("UNAVAILABLE", UnavailableError),
        ("RESOURCE_EXHAUSTED", OverloadedError),
    ],
)
def test_attempts_are_bounded(code, error, most, server, connect):
    server.fails = lambda number: code
    with pytest.raises(error, match=r"max_threads|runs there"):
        connect(max_attempts=most).call(Describe(), 5.0)
    assert server.attempts == most


def test_a_server_that_is_down_sees_few_attempts(server, connect):
    server.fails = down
    transport = connect(budget=6)
    for _ in range(40):
        with pytest.raises(UnavailableError):
            transport.call(Describe(), 5.0)
    assert 40 < server.attempts <= 40 + 6


def test_success_never_fills_the_budget_beyond_its_cap(server, connect):
    transport = connect(budget=6, refill=1.0)
    for _ in range(60):
        transport.call(Describe(), 5.0)
    server.fails = down
    for _ in range(40):
        with pytest.raises(UnavailableError):
            transport.call(Describe(), 5.0)
    assert 100 < server.attempts <= 100 + 6


def test_success_gives_a_share_of_the_budget_back(server, connect):
    server.fails = down
    transport = connect(budget=6, refill=0.5)
    for _ in range(20):
        with pytest.raises(UnavailableError):
            transport.call(Describe(), 5.0)
    server.fails = lambda number: None
    for _ in range(30):
        transport.call(Describe(), 5.0)
    before = server.attempts
    server.fails = lambda n: "UNAVAILABLE" if n == before + 1 else None
    assert transport.call(Describe(), 5.0).version == 1


def test_no_wait_is_longer_than_the_call(server, connect):
    server.fails = down
    transport = connect(initial_seconds=1.0, max_seconds=5.0)
    start = time.monotonic()
    with pytest.raises((DeadlineError, UnavailableError)):
        transport.call(Describe(), 0.3)
    assert time.monotonic() - start < 0.9
    assert server.attempts == 1


def test_large_requests_are_sent_again_too():
    call = Call("serving_default", {"x": np.zeros(2_000_000, "float32")})
    with FailingGrpcServer() as server:
        transport = GrpcTransport(
            server.address, MODEL, retries=RetryPolicy(**QUICK)
        )
        server.fails = lambda n: "UNAVAILABLE" if n == 1 else None
        assert transport.call(call, 10.0).version == 1
        transport.close()


def test_asyncio_shares_policy_and_budget():
    async def main(server):
        transport = AsyncGrpcTransport(
            server.address, MODEL, retries=RetryPolicy(budget=6, **QUICK)
        )
        server.fails = lambda n: "UNAVAILABLE" if n == 1 else None
        assert (await transport.call(Describe(), 5.0)).version == 1
        server.attempts, server.fails = 0, down
        results = await asyncio.gather(
            *(transport.call(Describe(), 5.0) for _ in range(40)),
            return_exceptions=True,
        )
        assert {type(error) for error in results} == {UnavailableError}
        await transport.close()
        with pytest.raises(ClientError, match="closed"):
            await transport.call(Describe(), 5.0)

    with FailingGrpcServer() as server:
        asyncio.run(main(server))
        assert server.attempts <= 40 + 6


@pytest.mark.parametrize(
    "policy",
    [
        {"max_attempts": 0},
        {"max_attempts": 6},
        {"initial_seconds": 0.001},
        {"initial_seconds": 2.0},
        {"budget": -1},
        {"budget": 1000},
        {"refill": 0},
    ],
    ids=str,
)
def test_policies_are_checked(policy):
    with pytest.raises(RequestError, match="no such retry policy"):
        RetryPolicy(**policy)
