"""One ranker, live, loaded and remote; its server killed and stopped."""

import dataclasses
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from jd_tf.pipeline.catalogue import Catalogue
from jd_tf.pipeline.recommender import Recommender, Step
from jd_tf.pipeline.stages.fine_stage import FineStage
from jd_tf.pipeline.stages.live_transport import LiveTransport
from jd_tf.pipeline.stages.recall_stage import RecallStage
from jd_tf.pipeline.stages.rerank_stage import ItemRules, RerankStage
from jd_tf.pipeline.stages.stage_threads import StageThreads
from jd_tf.serving.client import (
    ClientOptions,
    GrpcTransport,
    ModelChoice,
    RankingClient,
    RestTransport,
    SavedModelTransport,
)
from tests.pipeline.shop import FixedChannel
from tests.serving.exported import export_in_process, temporary_folder
from tests.serving.fake_server.model_server import model_config
from tests.serving.fake_server.start import model_server
from tests.serving.tiny_ranker import SCHEMA, TinyRanker

ROOT = Path(__file__).resolve().parents[3]
USER = {
    "request_time": 1000,
    "click_item_id": [7, 3, 9],
    "click_event_time": [990, 980, 970],
}


@dataclasses.dataclass(frozen=True)
class Ranker:
    """A live model and its version folder."""

    model: TinyRanker
    folder: Path


@pytest.fixture(scope="module")
def ranker():
    keras.utils.set_random_seed(4)
    model = TinyRanker()
    folder = export_in_process(model, temporary_folder(), name="tiny")
    return Ranker(model, folder)


def recommender(transport, seconds=5.0, deadline=12.0):
    """Recall of items 1 to 20, fine, re-ranking; and the client of `fine`."""
    items = Catalogue({"item_id": np.arange(1, 41)})
    threads = StageThreads()
    schema = dataclasses.replace(SCHEMA, max_candidates=8)
    client = RankingClient(transport, schema, ClientOptions(timeout=seconds))
    channel = FixedChannel("all", range(1, 41))
    recall = RecallStage([channel], items, threads, 20, 20)
    rules = ItemRules(likeness=("item_id",))
    steps = [
        Step(FineStage(client, items), 12, seconds),
        Step(RerankStage(items, rules=rules), 5, 1.0),
    ]
    fallback = np.arange(1, 9)
    return client, Recommender(
        schema, recall, steps, fallback, threads, 1.0, deadline
    )


def true_scores(model):
    """Item -> score, by the model itself."""
    outputs = model(
        {
            "click_item_id": np.array([USER["click_item_id"]]),
            "click_length": np.array([3], "int32"),
            "item_id": np.arange(1, 21)[None],
        }
    )
    return dict(enumerate(outputs["score"].numpy()[0], 1))


def test_live_loaded_and_remote_are_interchangeable(ranker):
    config = model_config("rank", ranker.folder.parent)
    with model_server(config, warm=False, max_threads=16) as server:
        server.wait_until("rank", int(ranker.folder.name))
        choice = ModelChoice("rank")
        transports = [
            LiveTransport(ranker.model),
            SavedModelTransport(ranker.folder),
            GrpcTransport(server.address, choice),
            RestTransport(server.rest_url, choice),
        ]
        found = []
        for transport in transports:
            client, chain = recommender(transport)
            with client:
                found.append(chain.recommend(USER, explain_attention=True))
    scores = true_scores(ranker.model)
    best = sorted(scores, key=lambda item: -scores[item])
    for answer in found:
        assert {t.stage: t.status for t in answer.trace} == {
            "recall": "ok",
            "fine": "ok",
            "rerank": "ok",
            "attention": "ok",
        }
        # Items that are not alike stay in the order of their scores.
        assert answer.item_id.tolist() == best[:5]
        for item in answer.explanations:
            score = scores[item["item_id"]]
            assert item["score"] == pytest.approx(score, abs=1e-4)
            assert item["ranks"]["recall"] == item["item_id"]
            assert item["ranks"]["fine"] == item["ranks"]["rerank"]
            chances = item["probabilities"]
            assert list(chances) == ["click", "order"]
            value = chances["click"] + 9 * chances["order"]
            assert value == pytest.approx(score, abs=1e-4)
            # The tiny ranker "looks" at its one event by the score.
            (event,) = item["attention"]["click"]
            assert event["item_id"] == 7
            assert event["weight"] == pytest.approx(score, abs=1e-3)
            assert item["reason"] == "best by score of those left"


@pytest.fixture
def server_process(ranker):
    """A model server in a process of its own; its address."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.serving.fake_server", "rank"),
            str(ranker.folder.parent),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    process.stdout.readline()  # what kind of server it is
    yield process, process.stdout.readline().strip()
    process.send_signal(signal.SIGCONT)
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.mark.process
def test_a_server_that_is_stopped_and_killed(server_process):
    """Late while its process stands still, failed once it is gone."""
    process, address = server_process
    transport = GrpcTransport(address, ModelChoice("rank"))
    client, chain = recommender(transport, 2.0, 4.5)

    def ask():
        start = time.monotonic()
        found = chain.recommend(USER)
        took = time.monotonic() - start
        assert took < 4.5
        return found, {t.stage: t.status for t in found.trace}, took

    with client:
        # The first calls of a fresh process may be slow.
        client.rank({**USER, "item_id": [1]}, timeout=60.0)
        for _ in range(20):
            good, status, _ = ask()
            if status["fine"] == "ok":
                break
        assert status == {"recall": "ok", "fine": "ok", "rerank": "ok"}
        process.send_signal(signal.SIGSTOP)
        late, status, took = ask()
        assert status == {"recall": "ok", "fine": "late", "rerank": "ok"}
        assert took >= 2.0
        assert late.degraded == ("fine",)
        assert "fine" not in late.explanations[0]["ranks"]
        process.kill()
        process.wait()
        gone, status, _ = ask()
        assert status["fine"] in ("failed", "late")
        assert status["rerank"] == "ok"
        # The order of recall is what the re-ranking was given.
        assert gone.item_id.tolist() == late.item_id.tolist()
        assert gone.item_id.tolist() != good.item_id.tolist()
        assert gone.explanations[0]["ranks"]["recall"] == gone.item_id[0]
    assert chain.stats()["fine"]["outcomes"]["late"] >= 1
