"""Versions come and go under load: no request fails, no answer is wrong.

`JD_TF_SOAK_MINUTES` (a few seconds by default) and `JD_TF_SOAK_CLIENTS` (16)
set duration and number. `JD_TF_MODEL_SERVER` names a real server's binary.
"""

import itertools
import os
import random
import shutil
import threading
import time

import numpy as np
import pytest

from jd_tf.serving.client.grpc_transport import GrpcTransport
from jd_tf.serving.client.options import ModelChoice
from jd_tf.serving.client.ranking_client import RankingClient
from jd_tf.serving.deploy.model_config import (
    OperationError,
    add_model,
    write_config,
)
from jd_tf.serving.deploy.promotion import Promotion, RolledBackError
from jd_tf.serving.deploy.version_server import VersionServer
from jd_tf.serving.export.warmup import sample_requests
from jd_tf.serving.protos.messages import ModelServerConfig
from tests.serving.deploy.made_versions import (
    MODEL,
    break_version,
    file_errors,
    first_version,
    make_version,
)
from tests.serving.fake_server.start import description, model_server
from tests.serving.tiny_ranker import SCHEMA

MINUTES = float(os.environ.get("JD_TF_SOAK_MINUTES", "0.1"))
CLIENTS = int(os.environ.get("JD_TF_SOAK_CLIENTS", "16"))
TOLERANCE = 1e-5


class Truth:
    """The answers of each version, known before it is published."""

    def __init__(self):
        self.requests = sample_requests(SCHEMA, seed=4)
        self._scores = {}

    def learn(self, folder, version):
        """Computes a version's scores in process."""
        with RankingClient.from_saved_model(folder) as client:
            rankings = [client.rank(r, timeout=60.0) for r in self.requests]
        self._scores[version] = [in_request_order(r) for r in rankings]

    def error_of(self, number, ranking):
        """Returns the error of an answer; empty if it is right."""
        version = ranking.model_version
        if version not in self._scores:
            return f"version {version} answered, which never served"
        expected = self._scores[version][number]
        found = in_request_order(ranking)
        scale = np.abs(expected).max()
        if found.shape != expected.shape:
            return f"{len(found)} scores instead of {len(expected)}"
        if np.abs(found - expected).max() > TOLERANCE * scale:
            return f"not what version {version} answers to request {number}"
        return ""


class Load:
    """Clients that rank and check until they are stopped."""

    def __init__(self, address, truth):
        self.answers = {}
        self.wrong = []
        self._truth, self._address = truth, address
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._ask, args=(number,))
            for number in range(CLIENTS)
        ]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, seed):
        generator = random.Random(seed)
        choice = ModelChoice(MODEL, label="stable")
        transport = GrpcTransport(self._address, choice)
        with RankingClient(transport, SCHEMA) as client:
            while not self._stop.is_set():
                number = generator.randrange(len(self._truth.requests))
                try:
                    ranking = client.rank(self._truth.requests[number], 30.0)
                    message = self._truth.error_of(number, ranking)
                except Exception as error:
                    message = f"{type(error).__name__}: {error}"
                    ranking = None
                with self._lock:
                    if message:
                        self.wrong.append(message)
                    else:
                        version = ranking.model_version
                        count = self.answers.get(version, 0)
                        self.answers[version] = count + 1


def in_request_order(ranking):
    scores = np.empty_like(ranking.scores)
    scores[ranking.order] = ranking.scores
    return scores


@pytest.mark.slow
def test_no_answer_is_wrong_while_versions_come_and_go(tmp_path, capsys):
    base = first_version(tmp_path).parent
    truth = Truth()
    truth.learn(base / "1", 1)
    config = ModelServerConfig()
    add_model(config, MODEL, str(base), {"stable": 1})
    write_config(tmp_path / "models.config", config)
    done = {"promoted": 0, "back": 0, "broken": 0, "lying": 0}
    # New versions are written on the same disk, outside the base path.
    workshop = tmp_path / "workshop"
    workshop.mkdir()
    numbers, seeds = itertools.count(2), itertools.count(10)
    stable = 1
    end = time.monotonic() + 60 * MINUTES
    with (
        model_server(config, max_threads=2 * CLIENTS) as server,
        VersionServer(server.address) as at,
        Load(server.address, truth) as load,
    ):

        def promote(version, verify=file_errors):
            return Promotion(
                [at],
                tmp_path / "models.config",
                MODEL,
                load_seconds=60.0,
                call_seconds=30.0,
                verify=verify,
                log=lambda _: None,
            ).run(version)

        def publish(seed, record=True, broken=False):
            number = next(numbers)
            made = make_version(
                base / str(stable), workshop / str(number), seed, record
            )
            if broken:
                break_version(made)
            elif record:
                truth.learn(made, number)
            made.rename(base / str(number))
            return number

        while not all(done.values()) or time.monotonic() < end:
            assert not load.wrong, load.wrong[:3]
            new = publish(seed=next(seeds))
            assert promote(new) == new
            done["promoted"] += 1
            assert promote(stable) == stable
            done["back"] += 1
            broken = publish(seed=5, broken=True)
            with pytest.raises(OperationError):
                promote(broken)
            with pytest.raises(RolledBackError):
                promote(broken, verify=lambda _: [])
            done["broken"] += 1
            lying = publish(seed=6, record=False)
            with pytest.raises(RolledBackError):
                promote(lying)
            done["lying"] += 1
            assert promote(new) == new
            for gone in (stable, broken, lying):
                shutil.rmtree(base / str(gone))
            stable = new
        time.sleep(0.2)
    assert not load.wrong, load.wrong[:3]
    assert set(load.answers) >= {1, stable}
    total = sum(load.answers.values())
    with capsys.disabled():
        print(
            f"\n{description()}\n{CLIENTS} clients, {total:,} answers of "
            f"{len(load.answers)} versions, all right; {done}"
        )
