"""Versions come and go under clients that do not stop asking."""

import contextlib
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from jd_tf.serving.client import ModelChoice, RetryPolicy
from jd_tf.serving.client.errors import RejectedError, UnavailableError
from tests.serving.client.against_server.clients import KINDS, make_client
from tests.serving.fake_server.model_server import model_config
from tests.serving.fake_server.start import model_server

LATEST = ("grpc", "rest", "async_grpc")


class Callers:
    """Threads that rank until they are stopped; every answer is checked."""

    def __init__(self, clients, two_versions, requests, num_threads=2):
        self.versions, self.failures = [], []
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(
                target=self._work, args=(client, two_versions, requests, number)
            )
            for client in clients
            for number in range(num_threads)
        ]

    def _work(self, client, two_versions, requests, number):
        while not self._stop.is_set():
            request = requests[number % len(requests)]
            number += 1
            try:
                ranking = client.rank(request)
                two_versions.check(ranking, request)
                self.versions.append(ranking.model_version)
            except BaseException as error:
                self.failures.append(error)
                return

    def wait_for(self, version, count=6, seconds=120):
        """Until the last answers are all of this version."""
        end = time.monotonic() + seconds
        start = len(self.versions)
        while time.monotonic() < end and not self.failures:
            recent = self.versions[start:][-count:]
            if len(recent) == count and set(recent) == {version}:
                return
            time.sleep(0.02)
        raise AssertionError((version, self.versions[-count:], self.failures))

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()


@pytest.mark.slow
def test_no_answer_fails_or_mixes_while_versions_are_published(
    two_versions, requests, tmp_path
):
    """New, broken, half-copied and removed versions, and three clients."""
    two_versions.publish(1, tmp_path)
    options = {"slice_size": 4, "buckets": (4,), "max_users": 3}
    config = model_config("rank", tmp_path)
    with model_server(config, warm=False, max_threads=64) as server:
        clients = [
            make_client(kind, server, two_versions.schema, **options)
            for kind in LATEST
        ]
        with clients[0], clients[1], clients[2]:
            callers = Callers(clients, two_versions, requests)
            with callers:
                callers.wait_for(1)
                # Not a number: not a version, however long it lies there.
                (tmp_path / "9.tmp").mkdir()
                # A number without a model: ends, and the old one stays.
                (tmp_path / "5").mkdir()
                status = server.wait_until("rank", 5, "END")
                assert status.failed
                callers.wait_for(1)
                (tmp_path / "5").rmdir()
                two_versions.publish(2, tmp_path)
                callers.wait_for(2)
                shutil.rmtree(tmp_path / "2")
                callers.wait_for(1)
            assert not callers.failures
            assert set(callers.versions) == {1, 2}


def test_a_moved_label_is_followed(two_versions, requests):
    """Promotion and rollback: no state of one version meets the other."""

    def config(stable):
        return model_config(
            "rank",
            two_versions.folder,
            versions=(1, 2),
            labels={"stable": stable},
        )

    choice = ModelChoice("rank", label="stable")
    with model_server(config(1), warm=False, max_threads=64) as server:
        server.wait_until("rank", 2)
        clients = [
            make_client(
                kind, server, two_versions.schema, choice, one_call=False
            )
            for kind in LATEST
        ]
        with clients[0], clients[1], clients[2]:
            callers = Callers(clients, two_versions, requests, 1)
            with callers:
                for stable in (1, 2, 1):
                    server.reload(config(stable))
                    callers.wait_for(stable)
                with pytest.raises(RejectedError, match="FAILED_PRECONDITION"):
                    server.reload(config(3))
                callers.wait_for(1)
            assert not callers.failures


@pytest.mark.slow
def test_a_server_that_comes_back_is_met_again(
    two_versions, requests, tmp_path
):
    """Killed and started again on its port, with every kind of client."""
    two_versions.publish(1, tmp_path)
    impatient = RetryPolicy(max_attempts=1)
    patient = RetryPolicy(
        max_attempts=5, initial_seconds=2.0, max_seconds=8.0, budget=499
    )
    server = model_server(model_config("rank", tmp_path), warm=False)
    with contextlib.ExitStack() as stack:
        server.start()
        stack.callback(server.stop)
        waiting, giving_up = (
            [
                stack.enter_context(
                    make_client(
                        kind, server, two_versions.schema, retries=retries
                    )
                )
                for kind in KINDS
            ]
            for retries in (patient, impatient)
        )
        for client in (*waiting, *giving_up):
            two_versions.check(client.rank(requests[0]), requests[0], 1)
        server.stop()
        for client in giving_up:
            with pytest.raises(UnavailableError):
                client.rank(requests[0])
        with ThreadPoolExecutor(len(waiting)) as threads:
            found = [
                threads.submit(client.rank, requests[0], 120.0)
                for client in waiting
            ]
            time.sleep(0.3)
            assert not any(future.done() for future in found)
            server.start()
            for future in found:
                two_versions.check(future.result(), requests[0], 1)
        for client in giving_up:
            two_versions.check(client.rank(requests[0]), requests[0], 1)
