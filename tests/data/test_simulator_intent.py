"""The hidden intent: recorded, true of a session, seen by nobody unasked."""

import numpy as np
import pytest

from jd_tf.data.batches import numpy_batches
from jd_tf.data.simulator import Simulator, SimulatorConfig
from jd_tf.data.simulator.objectives import ORDER

CONFIG = SimulatorConfig(
    num_users=80,
    num_items=200,
    num_requests=1_200,
    num_days=10,
    num_warm_up_days=5,
    num_categories=6,
    num_brands=10,
    num_shops=10,
    block_size=40,
    seed=7,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("intent") / "data"
    Simulator(CONFIG).write(path, num_processes=1, num_shards=1, progress=False)
    return path


def read(folder, **options):
    batches = list(numpy_batches(folder, "train", 64, keys=True, **options))
    names = batches[0]
    return {
        name: np.concatenate([b[name] for b in batches])
        for name in names
        if all(b[name].shape[1:] == batches[0][name].shape[1:] for b in batches)
    }, names


def test_intent_comes_along_only_when_asked_for(folder):
    assert "oracle_intent" not in read(folder)[1]
    assert "oracle_intent" in read(folder, oracle=True)[1]


def test_a_session_has_one_intent_and_buyers_buy(folder):
    found, _ = read(folder, oracle=True)
    intent = found["oracle_intent"]
    assert set(intent.tolist()) == {0, 1}
    sessions = [text.rsplit(b"-", 1)[0] for text in found["request_id"]]
    of_session = {}
    for session, one in zip(sessions, intent.tolist(), strict=True):
        assert of_session.setdefault(session, one) == one
    batches = list(numpy_batches(folder, "train", 64, oracle=True))
    chances = [[], []]
    for batch in batches:
        for row, count in enumerate(batch["num_candidates"]):
            mean = batch["oracle_relevance"][row, :count, ORDER].mean()
            chances[batch["oracle_intent"][row]].append(mean)
    assert np.mean(chances[1]) > 2 * np.mean(chances[0])
