"""Requests to a server and rankings back, over every transport."""

import dataclasses

import numpy as np
import pytest

from jd_tf.serving.client import (
    ClientOptions,
    GrpcTransport,
    ModelChoice,
    RankingClient,
    RestTransport,
    RetryPolicy,
)
from jd_tf.serving.client.errors import (
    ClientError,
    ClosedError,
    DeadlineError,
    MessageTooLargeError,
    ModelNotFoundError,
    RequestError,
    SchemaMismatchError,
    UnavailableError,
)
from jd_tf.serving.client.transport import Describe
from tests.requests import small_schema
from tests.serving.client.against_server.clients import IDS, KINDS, make_client
from tests.serving.client.fake_transport import with_candidates
from tests.serving.fake_server.model_server import free_port

kinds = pytest.mark.parametrize("kind", KINDS, ids=IDS)


@kinds
@pytest.mark.parametrize("one_call", [True, False])
def test_rankings_are_those_in_process(
    kind, one_call, server, two_versions, requests
):
    options = {"one_call": one_call, "slice_size": 4, "buckets": (4,)}
    with make_client(kind, server, two_versions.schema, **options) as client:
        for _ in range(3):
            for request in requests:
                two_versions.check(client.rank(request), request, 2)
        stats = client.stats()
    assert stats["cache"]["hits"] >= len(requests)
    # Three of them are more than one slice, which share what is encoded first.
    assert stats["calls"]["encode_user"] == 3
    assert stats["calls"]["encode_and_rank"] == len(requests) - 3
    assert stats["version_switches"] == 0


@kinds
def test_any_number_of_candidates(kind, server, two_versions, requests):
    with make_client(kind, server, two_versions.schema) as client:
        for count in (0, 1, 7, 8, 50):
            request = with_candidates(requests[0], count, two_versions.schema)
            ranking = client.rank(request)
            assert len(ranking.item_ids) == count
            if count:
                two_versions.check(ranking, request, 2)


@kinds
@pytest.mark.parametrize(
    ("choice", "version"),
    [
        (ModelChoice("rank"), 2),
        (ModelChoice("rank", version=1), 1),
        (ModelChoice("rank", version=2), 2),
        (ModelChoice("rank", label="stable"), 1),
        (ModelChoice("rank", label="canary"), 2),
    ],
    ids=str,
)
def test_version_label_and_latest(
    kind, choice, version, server, two_versions, requests
):
    with make_client(kind, server, two_versions.schema, choice) as client:
        for request in requests[:2]:
            two_versions.check(client.rank(request), request, version)


@kinds
@pytest.mark.parametrize(
    "choice",
    [
        ModelChoice("other"),
        ModelChoice("rank", version=7),
        ModelChoice("rank", version=0),
        ModelChoice("rank", label="beta"),
    ],
    ids=str,
)
def test_what_is_not_served_is_an_error(
    kind, choice, server, two_versions, requests
):
    client = make_client(kind, server, two_versions.schema, choice)
    with client, pytest.raises(ModelNotFoundError, match=choice.name):
        client.rank(requests[0])


def wrong_requests(request):
    """Name of what is wrong -> the request."""
    count = len(request["item_id"])
    change = {
        "dtype": {"item_id": np.full(count, 1.5)},
        "dtype of texts": {"brand_id": np.arange(count)},
        "bool": {"item_id": np.ones(count, bool)},
        "rank": {"item_id": np.ones((count, 1), int)},
        "scalar": {"click_item_id": 3},
        "name": {"item_idd": 3},
        "negative id": {"item_id": np.full(count, -1)},
        "milliseconds": {"request_time": 1_700_000_000_000},
        "NaN": {"item_dense": np.full((count, 2), np.nan)},
        "infinite": {"session_dense": [np.inf, 0.0, 0.0]},
        "too large for int64": {"item_id": [2**63] * count},
        "inner axis": {"item_dense": np.ones((count, 3))},
        "lengths disagree": {"item_id": np.arange(1, count)},
        "10 MB string": {"brand_id": ["x" * 10_000_000] * count},
        "10 MB string for an id": {"item_id": ["x" * 10_000_000] * count},
        "10 MB user": {"user_id": "x" * 10_000_000},
        "zero rows": {"item_dense": np.zeros((0, 2))},
        "none": {"scenario": None},
        "nested": {"scenario": {"a": [1]}},
        "bytes": {"item_dense": b"abc"},
        "ragged": {"item_dense": [[1.0], [1.0, 2.0]]},
    }
    wrong = {name: {**request, **values} for name, values in change.items()}
    long = dict(request)
    for name, value in request.items():
        if name.startswith("click_"):
            value = np.asarray(value)
            long[name] = np.resize(value, (13, *value.shape[1:]))
    wrong["history too long"] = long
    wrong["column missing"] = {
        name: value for name, value in request.items() if name != "hour"
    }
    wrong["a list"] = [request]
    wrong["nothing"] = None
    return wrong


@kinds
def test_wrong_requests_never_reach_the_wire(
    kind, server, two_versions, requests
):
    request = max(requests[:4], key=lambda r: len(r["click_item_id"]))
    assert len(request["click_item_id"]) > 1
    with make_client(
        kind, server, two_versions.schema, one_call=False
    ) as client:
        client.rank(request)
        for name, wrong in wrong_requests(request).items():
            sent = client.stats()["calls"]
            with pytest.raises(RequestError) as caught:
                client.rank(wrong)
            assert len(str(caught.value)) < 1000, name
            assert client.stats()["calls"] == sent, name
            # And the next request is answered.
            two_versions.check(client.rank(request), request, 2)


@kinds
def test_a_short_deadline_is_kept(kind, server, two_versions, requests):
    with make_client(kind, server, two_versions.schema) as client:
        client.rank(requests[0])
        with pytest.raises(DeadlineError):
            client.rank(requests[1], timeout=1e-4)
        two_versions.check(client.rank(requests[1]), requests[1], 2)


@kinds
def test_an_address_where_nobody_answers_is_named(kind, two_versions, requests):
    @dataclasses.dataclass
    class Nobody:
        address: str
        rest_url: str

    port = free_port()
    nobody = Nobody(f"localhost:{port}", f"http://localhost:{port}")
    retries = RetryPolicy(
        max_attempts=3, initial_seconds=0.01, max_seconds=0.01
    )
    with (
        make_client(
            kind, nobody, two_versions.schema, retries=retries
        ) as client,
        pytest.raises(UnavailableError, match="Check that the server"),
    ):
        client.rank(requests[0])


@kinds
def test_the_wrong_port_is_an_error(kind, server, two_versions, requests):
    crossed = dataclasses.make_dataclass("Crossed", ["address", "rest_url"])(
        server.rest_url.removeprefix("http://"), f"http://{server.address}"
    )
    retries = RetryPolicy(max_attempts=1)
    client = make_client(kind, crossed, two_versions.schema, retries=retries)
    with client, pytest.raises(ClientError):
        client.rank(requests[0], timeout=5.0)


@kinds
def test_another_schema_is_refused(kind, server, requests):
    schema = small_schema(session_dense=("clicks",))
    request = {**requests[0], "session_dense": [1.0]}
    with make_client(kind, server, schema) as client:
        with pytest.raises(SchemaMismatchError, match="`session_dense` is"):
            client.rank(request)
        assert client.stats()["calls"] == {}


def test_message_limits(server, two_versions, requests):
    choice, options = ModelChoice("rank"), ClientOptions(timeout=60.0)
    grpc = GrpcTransport(server.address, choice, max_message_bytes=2000)
    with (
        RankingClient(grpc, two_versions.schema, options) as client,
        pytest.raises(MessageTooLargeError, match="max_message_bytes"),
    ):
        client.rank(requests[0])
    rest = RestTransport(server.rest_url, choice, max_message_bytes=2000)
    with (
        RankingClient(rest, two_versions.schema, options) as client,
        pytest.raises(MessageTooLargeError, match="max_message_bytes"),
    ):
        client.rank(requests[0])


@kinds
def test_closed_clients_say_so(kind, server, two_versions, requests):
    client = make_client(kind, server, two_versions.schema)
    with client:
        client.rank(requests[0])
    if kind.startswith("async"):
        return
    with pytest.raises(ClosedError):
        client.rank(requests[0])
    with pytest.raises(ClosedError):
        client.transport.call(Describe(), 1.0)
