"""Servers with few threads and many callers, on which versions move."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from jd_tf.serving.client import (
    GrpcTransport,
    ModelChoice,
    RankingClient,
    RetryPolicy,
)
from jd_tf.serving.client.errors import OverloadedError
from jd_tf.serving.client.transport import Describe
from jd_tf.serving.deploy.deployment import Deployment, find_models
from jd_tf.serving.export.warmup import sample_requests
from tests.serving.deploy.made_versions import MODEL
from tests.serving.deploy.test_promotion import Serving
from tests.serving.fake_server.model_server import model_config
from tests.serving.fake_server.start import model_server
from tests.serving.tiny_ranker import SCHEMA

ONCE = RetryPolicy(max_attempts=1)
NUM_CALLERS = 8


def flag_of(deployment, name):
    (flag,) = (f for f in deployment.flags("/c") if f.startswith(f"--{name}="))
    return int(flag.split("=")[1])


def test_as_many_callers_as_promised_are_served(base):
    """By the flag of the written files; by the server's default some fail."""
    models = find_models(base.parent, (MODEL,))
    threads = {
        callers: flag_of(
            Deployment(models, "/models", max_callers=callers),
            "grpc_max_threads",
        )
        for callers in (16, 64)
    }
    assert threads[64] == 4 * threads[16]
    config = model_config(MODEL, base, (1,))
    with model_server(config, max_threads=threads[16]) as server:
        assert not refused(server, 16)
    with model_server(config, max_threads=6) as server:
        assert refused(server, 16)


def refused(server, callers, calls=25):
    """Counts the calls, of several callers at once, that were refused."""
    choice = ModelChoice(MODEL)
    barrier = threading.Barrier(callers)

    def run(_):
        transport = GrpcTransport(server.address, choice, retries=ONCE)
        barrier.wait()
        failed = 0
        for _ in range(calls):
            try:
                transport.call(Describe(), 30.0)
            except OverloadedError:
                failed += 1
        transport.close()
        return failed

    with ThreadPoolExecutor(callers) as pool:
        return sum(pool.map(run, range(callers)))


def test_a_burst_of_clients_is_served_by_few_threads(base):
    request = sample_requests(SCHEMA, seed=4)[0]
    config = model_config(MODEL, base, (1,))
    barrier = threading.Barrier(NUM_CALLERS)
    with model_server(config, max_threads=6) as server:
        transport = GrpcTransport(server.address, ModelChoice(MODEL))
        with RankingClient(transport, SCHEMA) as client:

            def rank(_):
                barrier.wait()
                return client.rank(request, 30.0).scores

            with ThreadPoolExecutor(NUM_CALLERS) as pool:
                scores = list(pool.map(rank, range(NUM_CALLERS)))
    for found in scores[1:]:
        np.testing.assert_array_equal(found, scores[0])


@pytest.fixture(name="crowded")
def _crowded(base, tmp_path):
    """A server of few threads whose callers come again at once if refused."""
    made = Serving(base, tmp_path, max_threads=6)
    stop, counts = threading.Event(), {"refused": 0}
    choice = ModelChoice(MODEL, label="stable")

    def call():
        transport = GrpcTransport(made.server.address, choice, retries=ONCE)
        while not stop.is_set():
            try:
                transport.call(Describe(), 30.0)
            except OverloadedError:
                counts["refused"] += 1
        transport.close()

    threads = [threading.Thread(target=call) for _ in range(NUM_CALLERS)]
    for thread in threads:
        thread.start()
    yield made, counts
    stop.set()
    for thread in threads:
        thread.join()
    made.close()


def test_promotions_get_through_to_a_busy_server(crowded):
    serving, counts = crowded
    for version in (2, 1):
        assert serving.promotion().run(version) == version
    assert counts["refused"]


def test_the_way_back_is_open_at_once(base, tmp_path):
    """Though a version is reported available until it is unloaded."""
    serving = Serving(base, tmp_path)
    stop, missed = threading.Event(), []
    choice = ModelChoice(MODEL, label="stable")

    def call():
        transport = GrpcTransport(serving.server.address, choice)
        while not stop.is_set():
            try:
                transport.call(Describe(), 30.0)
            except Exception as error:
                missed.append(error)
        transport.close()

    thread = threading.Thread(target=call)
    thread.start()
    try:
        for version in (2, 1, 2, 1):
            assert serving.promotion().run(version) == version
            # What was dropped is gone when the promotion is over.
            assert serving.loaded() == {version}
        # The same of a promotion that was ended before it could wait.
        promotion = serving.promotion()
        promotion._wait_gone = lambda *_: None
        assert promotion.run(2) == 2
        assert serving.promotion().run(1) == 1
        assert serving.answer()[1] == 1
    finally:
        stop.set()
        thread.join()
        serving.close()
    assert not missed
