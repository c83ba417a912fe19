"""The documented shop at its default size: rates, ceilings and constants."""

import time

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from jd_tf.data.records import count_records
from jd_tf.data.simulator import Simulator, SimulatorConfig
from jd_tf.data.simulator.behavior import OBJECTIVES, ORDER
from jd_tf.data.simulator.shard_writing import write_simulated

pytestmark = pytest.mark.slow
VALUES = np.array([objective.value for objective in OBJECTIVES])


@pytest.fixture(scope="module")
def simulator():
    return Simulator()


@pytest.fixture(scope="module")
def logs(simulator):
    return [
        simulator.simulate_block(block)
        for block in range(simulator.config.num_blocks)
    ]


def logged(logs, name):
    return np.concatenate([log.requests[name] for log in logs])


def real(logs):
    shown = logged(logs, "num_shown")
    return np.arange(logged(logs, "item").shape[1]) < shown[:, np.newaxis]


def test_size_and_rates(simulator, logs):
    labels = logged(logs, "labels")[real(logs)]
    expected = simulator.config.num_requests
    assert len(logged(logs, "time")) == pytest.approx(expected, rel=0.15)
    click, long_view, comment, cart, favourite, order = labels.mean(axis=0)
    assert 0.08 < click < 0.15
    assert 0.4 * click < long_view < 0.7 * click
    assert 0.003 < order < cart < comment < 0.05
    assert 0.005 < favourite < 0.03


def test_popularity_is_far_from_what_can_be_known(simulator, logs):
    items = logged(logs, "item")[real(logs)]
    click = logged(logs, "labels")[real(logs)][:, 0]
    truth = logged(logs, "relevance")[real(logs)][:, 0]
    popular = roc_auc_score(click, simulator.catalogue.appeal[items])
    assert 0.55 < popular < 0.65
    assert 0.78 < roc_auc_score(click, truth) < 0.86


def test_the_rest_of_a_session_has_the_documented_value(simulator, logs):
    """The reward's constants are what the simulated sessions earn."""
    labels = logged(logs, "labels") * real(logs)[..., np.newaxis]
    kept = np.take(simulator.behavior.kept_order_rates, logged(logs, "intent"))
    values = np.tile(VALUES, (len(kept), 1))
    values[:, ORDER] *= kept
    earned = (labels.sum(axis=1) * values).sum(axis=1)
    block = np.repeat(
        np.arange(len(logs)), [len(log.requests["time"]) for log in logs]
    )
    step = logged(logs, "step")
    keys = np.stack([block, logged(logs, "user"), logged(logs, "session")])
    _, session = np.unique(keys, axis=1, return_inverse=True)
    session = session.reshape(-1)
    order = np.lexsort((step, session))
    session, earned, step = session[order], earned[order], step[order]
    intent = logged(logs, "intent")[order]
    whole = np.bincount(session, earned)[session]
    running = np.cumsum(earned)
    begins = np.r_[0, np.flatnonzero(np.diff(session)) + 1]
    before = running[begins] - earned[begins]
    done = (
        running
        - earned
        - np.repeat(before, np.diff(np.r_[begins, len(session)]))
    )
    rest = whole - done
    for kind, constant in enumerate(simulator.behavior.continuation_values):
        measured = rest[(step > 0) & (intent == kind)].mean()
        assert constant == pytest.approx(measured, rel=0.15)


def test_fifty_thousand_requests_a_minute_on_two_cores(tmp_path):
    """By processor time of one process, so that a busy machine is no matter.

    Starting two processes costs seconds that a larger shop hides; 50,000 a
    minute on two cores are 2.4 ms of one.
    """
    simulator = Simulator(SimulatorConfig(num_users=300, num_requests=6_000))
    start = time.process_time()
    write_simulated(simulator, tmp_path, 4, num_processes=1, progress=False)
    seconds = time.process_time() - start
    num_requests = sum(map(count_records, tmp_path.glob("*.tfrecord")))
    assert seconds / num_requests < 2.4e-3
