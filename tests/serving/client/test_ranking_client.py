"""The calls that rank a request, and the errors they end with."""

import asyncio
import threading
import time

import numpy as np
import pytest

from jd_tf.serving.client import (
    AsyncRankingClient,
    ClientOptions,
    RankingClient,
    ThreadedTransport,
)
from jd_tf.serving.client.errors import (
    AnswerError,
    ClosedError,
    DeadlineError,
    RejectedError,
    RequestError,
    SchemaMismatchError,
    VersionSwitchError,
)
from jd_tf.serving.signature_names import LOWEST_SCORE
from tests.requests import random_requests, small_schema
from tests.serving.client.fake_transport import (
    SCHEMA,
    FakeTransport,
    expected_scores,
    with_candidates,
)

REQUESTS = [
    with_candidates(request, 5)
    for request in random_requests(SCHEMA, 6, seed=2)
]


def client_of(transport, **options):
    return RankingClient(transport, SCHEMA, ClientOptions(**options))


def check(ranking, request, version):
    scores = expected_scores(request, version)
    order = np.argsort(-scores, kind="stable")
    np.testing.assert_array_equal(ranking.order, order)
    np.testing.assert_allclose(ranking.scores, scores[order], 1e-6)
    np.testing.assert_array_equal(ranking.item_ids, request["item_id"][order])
    assert ranking.model_version == version
    np.testing.assert_array_equal(
        ranking.fusion_weights, np.array([1, 2, 3], "float32") * version
    )


def test_slices_have_bucket_widths_and_keep_their_order():
    options = {"slice_size": 4, "buckets": (2, 4), "one_call": False}
    with client_of(transport := FakeTransport(), **options) as client:
        request = with_candidates(REQUESTS[0], 13)
        check(client.rank(request), request, 1)
    widths = [
        inputs["item_id"].shape
        for name, inputs in transport.calls
        if name == "rank_candidates"
    ]
    assert sorted(widths) == [(1, 2), (1, 4), (1, 4), (1, 4)]
    counts = [
        int(inputs["num_candidates"][0])
        for name, inputs in transport.calls
        if name == "rank_candidates"
    ]
    assert sorted(counts) == [1, 4, 4, 4]
    histories = transport.calls[0][1]["click_item_id"]
    assert histories.shape == (1, 12), "histories, too, have one width"


def test_slices_run_at_the_same_time():
    together = threading.Barrier(3, timeout=10)

    def before(call, number):
        if call.signature == "rank_candidates":
            together.wait()

    options = {"slice_size": 4, "one_call": False}
    with client_of(FakeTransport(before=before), **options) as client:
        request = with_candidates(REQUESTS[0], 12)
        check(client.rank(request), request, 1)


def test_no_candidates_ask_nobody():
    with client_of(transport := FakeTransport()) as client:
        ranking = client.rank(with_candidates(REQUESTS[0], 0))
    assert ranking.item_ids.shape == (0,)
    assert ranking.probabilities.shape == (0, 3)
    assert not transport.calls
    assert not transport.described


def test_a_version_switch_before_ranking_is_redone():
    transport = FakeTransport()

    def before(call, number):
        if call.signature == "rank_candidates" and number == 1:
            transport.version = 2

    transport.before = before
    request = with_candidates(REQUESTS[0], 6)
    with client_of(transport, slice_size=3, parallel=1) as client:
        check(client.rank(request), request, 2)
        assert client.stats()["version_switches"] == 1
        check(client.rank(request), request, 2)
    assert transport.signatures() == {"encode_user": 2, "rank_candidates": 6}


def test_slices_of_two_versions_are_redone():
    transport = FakeTransport()

    def before(call, number):
        if number == 3:
            transport.version = 2

    transport.before = before
    options = {"slice_size": 2, "one_call": False, "parallel": 1}
    with client_of(transport, **options) as client:
        request = with_candidates(REQUESTS[0], 8)
        check(client.rank(request), request, 2)


def test_a_state_that_another_version_refuses_is_redone():
    transport = FakeTransport()

    def before(call, number):
        if call.signature == "rank_candidates" and transport.version == 1:
            transport.version = 2
            raise RejectedError("shape of user_state_sum")

    transport.before = before
    with client_of(transport) as client:
        check(client.rank(REQUESTS[0]), REQUESTS[0], 1)
        check(client.rank(REQUESTS[0]), REQUESTS[0], 2)


def test_a_refusal_by_one_version_is_raised():
    def before(call, number):
        raise RejectedError("no")

    with (
        client_of(transport := FakeTransport(before=before)) as client,
        pytest.raises(RejectedError, match="no"),
    ):
        client.rank(REQUESTS[0])
    assert len(transport.calls) == 1


def test_versions_that_flap_end_in_one_call():
    transport = FakeTransport()

    def before(call, number):
        transport.version += 1

    transport.before = before
    with client_of(transport, one_call=False) as client:
        ranking = client.rank(REQUESTS[0])
        check(ranking, REQUESTS[0], transport.version)
        many = with_candidates(REQUESTS[0], 20)
        with pytest.raises(VersionSwitchError, match="4 attempts"):
            client.rank(many)


def test_a_version_with_other_columns_is_refused():
    other = small_schema(context_columns=())
    client = RankingClient(FakeTransport(), other)
    with (
        client,
        pytest.raises(SchemaMismatchError, match=r"version 1: .*`hour` is"),
    ):
        client.rank(
            {
                n: v
                for n, v in REQUESTS[0].items()
                if n not in ("hour", "scenario")
            }
        )


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("score", lambda a: a * np.nan, "not finite"),
        ("score", lambda a: a * 0 + LOWEST_SCORE, "not finite"),
        ("fusion_weights", lambda a: a * np.inf, "not finite"),
        ("score", lambda a: a[:, :2], "has shape"),
        ("probabilities", lambda a: a[..., :2], "should have"),
        ("score", lambda a: a[0], "has shape"),
        ("score", None, "no score in its answer"),
    ],
)
def test_wrong_answers_are_not_believed(name, change, message):
    class Wrong(FakeTransport):
        def answer(self, call):
            answer = super().answer(call)
            if change is None:
                del answer.outputs[name]
            else:
                answer.outputs[name] = change(answer.outputs[name])
            return answer

    client = client_of(Wrong(), one_call=True)
    with client, pytest.raises(AnswerError, match=message):
        client.rank(REQUESTS[0])


def test_a_closed_client_says_so():
    client = client_of(FakeTransport())
    client.close()
    with pytest.raises(ClosedError, match="Open a new one"):
        client.rank(REQUESTS[0])


def test_many_threads_and_versions_never_mix():
    transport = FakeTransport()
    stop = threading.Event()

    def publish():
        while not stop.wait(0.002):
            transport.version += 1

    options = {
        "slice_size": 3,
        "max_version_switches": 50,
        "timeout": 60.0,
        "max_users": 3,
    }
    wrong = []
    with client_of(transport, **options) as client:

        def work(seed):
            generator = np.random.default_rng(seed)
            for _ in range(30):
                request = REQUESTS[generator.integers(len(REQUESTS))]
                try:
                    ranking = client.rank(request)
                    check(ranking, request, ranking.model_version)
                except Exception as error:
                    wrong.append(error)

        publisher = threading.Thread(target=publish)
        publisher.start()
        workers = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        stop.set()
        publisher.join()
        assert not wrong
        assert client.stats()["cache"]["users"] <= 3
        assert client.stats()["cache"]["evictions"] > 0


def test_asyncio_carries_out_the_same_plans():
    async def main():
        transport = FakeTransport()
        options = ClientOptions(slice_size=3, buckets=(3,), one_call=False)

        def before(call, number):
            if number == 4:
                transport.version = 2

        transport.before = before
        client = AsyncRankingClient(
            ThreadedTransport(transport), SCHEMA, options
        )
        async with client:
            rankings = await asyncio.gather(*map(client.rank, REQUESTS * 3))
            for ranking, request in zip(rankings, REQUESTS * 3, strict=True):
                check(ranking, request, ranking.model_version)
            transport.before = lambda call, number: time.sleep(0.1)
            with pytest.raises(DeadlineError):
                await client.rank(with_candidates(REQUESTS[0], 20), 0.05)
            with pytest.raises(RequestError, match="did you mean"):
                await client.rank({**REQUESTS[0], "hours": 3})
        assert transport.closed
        with pytest.raises(ClosedError):
            await client.rank(REQUESTS[0])

    asyncio.run(main())
