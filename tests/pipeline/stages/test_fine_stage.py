"""One ranker, live, loaded and remote; its server killed and stopped."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

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
from tests.pipeline.shop import NUM_ITEMS, FixedChannel, catalogue, request
from tests.serving.exported import exported
from tests.serving.fake_server.model_server import model_config
from tests.serving.fake_server.start import model_server

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module", name="exported")
def _exported():
    return exported()


def recommender(transport, schema, seconds=5.0, deadline=12.0):
    """Recall, fine, re-ranking; closed by its `fine` client."""
    items, threads = catalogue(), StageThreads()
    client = RankingClient(transport, schema, ClientOptions(timeout=seconds))
    channel = FixedChannel("all", range(1, NUM_ITEMS + 1))
    recall = RecallStage([channel], items, threads, 20, NUM_ITEMS)
    rules = ItemRules(likeness=("category_id", "brand_id"))
    steps = [
        Step(FineStage(client, items), 12, seconds),
        Step(RerankStage(items, rules=rules), 5, 1.0),
    ]
    return client, Recommender(
        schema,
        recall,
        steps,
        np.arange(1, 9),
        threads,
        recall_seconds=1.0,
        deadline=deadline,
    )


def test_live_loaded_and_remote_are_interchangeable(exported):
    config = model_config("rank", exported.folder.parent)
    with model_server(config, warm=False, max_threads=16) as server:
        server.wait_until("rank", int(exported.folder.name))
        choice = ModelChoice("rank")
        transports = [
            LiveTransport(exported.model),
            SavedModelTransport(exported.folder),
            GrpcTransport(server.address, choice),
            RestTransport(server.rest_url, choice),
        ]
        found = []
        for transport in transports:
            client, chain = recommender(transport, exported.schema)
            with client:
                found.append(
                    chain.recommend(request(1), explain_attention=True)
                )
    first = found[0]
    schema = exported.schema
    for other in found:
        assert other.degraded == ()
        assert other.item_id.tolist() == first.item_id.tolist()
        assert {t.status for t in other.trace} == {"ok"}
        for mine, theirs in zip(
            first.explanations, other.explanations, strict=True
        ):
            assert mine["ranks"] == theirs["ranks"]
            assert list(theirs["probabilities"]) == [
                o.name for o in schema.objectives
            ]
            for name, probability in mine["probabilities"].items():
                assert theirs["probabilities"][name] == pytest.approx(
                    probability, abs=1e-4
                )
            assert set(theirs["attention"]) == {"click", "order"}
    assert len(first.item_id) == 5
    assert "reason" in first.explanations[0]


def test_attention_is_that_of_the_model(exported):
    client, chain = recommender(LiveTransport(exported.model), exported.schema)
    user = request(1)
    with client:
        found = chain.recommend(user, explain_attention=True)
    events = found.explanations[0]["attention"]["click"]
    assert len(events) == min(3, len(user["click_item_id"]))
    for event in events:
        assert event["item_id"] == user["click_item_id"][event["event"]]
    weights = [event["weight"] for event in events]
    assert weights == sorted(weights, reverse=True)
    assert 0 < sum(weights) <= 1.001


@pytest.fixture
def server_process(exported):
    """A model server in a process of its own; its address."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.serving.fake_server", "rank"),
            str(exported.folder.parent),
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
def test_a_server_that_is_stopped_and_killed(exported, server_process):
    """Late while its process stands still, failed once it is gone."""
    process, address = server_process
    transport = GrpcTransport(address, ModelChoice("rank"))
    client, chain = recommender(transport, exported.schema, 2.0, 4.5)

    def ask():
        start = time.monotonic()
        found = chain.recommend(request(1))
        took = time.monotonic() - start
        assert took < 4.5
        return found, {t.stage: t.status for t in found.trace}, took

    with client:
        # The first calls of a fresh process may be slow.
        client.rank(
            {**request(1), **{"item_id": [], "category_id": [], "tag_id": []}}
            | {"brand_id": [], "item_dense": [], "num_candidates": 0},
            timeout=60.0,
        )
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
