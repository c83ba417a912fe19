"""The contest of fusions on arrays whose truth is known."""

import types

import numpy as np
import pytest

from experiments.benchmarks.fusion import contest
from jd_tf.evaluation.fusion.observation import LEARNED
from jd_tf.models.blocks.session_features import SessionFeatures
from jd_tf.schema import Behavior
from jd_tf.training import workdir
from tests.evaluation.fusion.fused_shop import shop_schema

WORTH = np.array([[1.0, 0.0], [0.0, 5.0]])


def arrays(seed, count=1500, width=6):
    """Two kinds of sessions; only the second feature tells which."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 2, count)
    chances = rng.beta([2, 1], [5, 9], (count, width, 2))
    labels = (rng.random(chances.shape) < chances).astype(np.float32)
    noise = rng.normal(size=(2, count))
    features = np.stack([noise[0], 4 * kind - 2 + noise[1]], axis=1)
    return {
        "logits": np.log(chances / (1 - chances)).astype(np.float32),
        "features": features.astype(np.float32),
        "labels": labels,
        "label_weights": np.ones_like(labels),
        "reward": np.einsum("rnt,rt->rn", labels, WORTH[kind]).astype("f"),
        "num_candidates": np.full(count, width, np.int32),
        "user_id": np.arange(count) // 3,
        "segment_intent": np.array(["browsing", "buying"])[kind],
        "segment_scenario": np.array(["feed", "cart"])[
            rng.integers(2, size=count)
        ],
    }


@pytest.fixture
def report(monkeypatch, tmp_path):
    schema = shop_schema()
    # One number: no behaviour of the session, the first column of the request.
    session = types.SimpleNamespace(output_dim=1, behaviors=(), interest_dim=0)
    model = types.SimpleNamespace(schema=schema, session=session)
    monkeypatch.setattr(workdir, "load_trained", lambda folder: model)
    seeds = {"train": 1, "validation": 2, "test": 3}
    monkeypatch.setattr(
        contest,
        "fusion_arrays",
        lambda model, data, split, kept: arrays(seeds[split]),
    )
    return contest.contest(
        "data",
        tmp_path / "run",
        tmp_path,
        1,
        {"epochs": 12, "learning_rate": 0.01},
        num_weights=60,
        num_replicates=60,
    )


def test_the_gate_that_sees_the_kind_wins_and_follows_it(report):
    """No gate of the first feature can tell the kinds apart."""
    apart = report["comparison"]["differences"][LEARNED]
    for name in (
        contest.SESSION,
        "expected_reward",
        "best_global_weights_additive",
        "best_weights_by_scenario",
    ):
        assert apart[name]["captured_value@1"]["interval"][0] > 0, name
    kinds = report["weights"]["intent"]
    click = {k: kinds[k]["shares"]["click"]["mean"] for k in kinds}
    assert click["browsing"] > click["buying"] + 0.2
    blind = report["weights_of_session_features"]["intent"]
    click = {k: blind[k]["shares"]["click"]["mean"] for k in blind}
    assert abs(click["browsing"] - click["buying"]) < 0.05
    table = contest.markdown([report, report])
    assert "2 run(s)" in table
    assert f"| {LEARNED}, buying |" in table
    assert "| hidden: best_weights_by_intent |" in table


def test_counts_are_what_the_ranker_has_not_learned():
    behaviors = (
        Behavior("click", 5, dwell=True, action_counters=("reads",)),
        Behavior("order", 5),
    )
    session = SessionFeatures(behaviors, 4, 3, 2, 60.0)
    # Eight learned numbers, then count, dwell, reads; eight, then the count.
    assert contest.count_columns(session) == [8, 9, 10, 19, 20, 21, 22]
