"""Fusion losses against loops; what counts nothing, and is counted."""

import numpy as np
import pytest
import tensorflow as tf

from jd_tf.schema import DataError, ScenarioValues
from jd_tf.training.fusion.fusion_loss import FusionLoss
from tests import fusion_references
from tests.requests import small_schema

VALUES = (1.0, 5.0, 20.0)
R, N, T = 30, 6, 3


def _batch(seed=0, junk=0.0, **changes):
    """Requests of 1 to N candidates, some cells and candidates unjudged."""
    rng = np.random.default_rng(seed)
    count = rng.integers(1, N + 1, R).astype("int32")
    real = np.arange(N) < count[:, None]
    labels = (rng.random((R, N, T)) < 0.3).astype("float32")
    weights = rng.choice([0.0, 1.0, 2.5], (R, N, T)).astype("float32")
    weights[0] = 0
    labels[~real] = junk
    weights[~real] = 1 + abs(junk)
    reward = rng.normal(size=(R, N)).astype("float32")
    reward[~real] = junk
    batch = {
        "labels": labels,
        "label_weights": weights,
        "num_candidates": count,
        "reward": reward,
    }
    return {**batch, **changes}


def _scores(seed=1):
    rng = np.random.default_rng(seed)
    return rng.normal(scale=2, size=(R, N)).astype("float32")


def _lists(batch, reward=False):
    """The gains of every request's listed candidates, and their places."""
    for row in range(R):
        places = [
            place
            for place in range(batch["num_candidates"][row])
            if batch["label_weights"][row, place].any()
        ]
        if reward:
            gains = [float(batch["reward"][row, p]) for p in places]
            least = min([*gains, 0.0])
            gains = [gain - least for gain in gains]
        else:
            gains = [
                fusion_references.gains(
                    batch["labels"][row, p],
                    batch["label_weights"][row, p],
                    VALUES,
                )
                for p in places
            ]
        yield gains, places


@pytest.mark.parametrize("kind", ["listwise", "pairwise"])
@pytest.mark.parametrize("reward", [False, True])
@pytest.mark.parametrize("request_weights", ["equal", "gain"])
def test_equals_a_loop(kind, reward, request_weights):
    batch, scores = _batch(), _scores()
    loss = FusionLoss(VALUES, reward, kind, request_weights)
    found = loss(batch, scores)
    losses, weights = [], []
    for row, (gains, places) in enumerate(_lists(batch, reward)):
        if len(set(gains)) < 2:
            continue
        reference = getattr(fusion_references, kind)
        mine = scores[row, places].astype(np.float64)
        losses.append(reference(mine, gains))
        weights.append(1 if request_weights == "equal" else sum(gains))
    expected = np.average(losses, weights=weights)
    assert found.total.numpy() == pytest.approx(expected, rel=1e-5)
    assert int(found.num_used) == len(losses)
    assert int(found.num_skipped) == R - len(losses)
    assert 5 < len(losses) < R


@pytest.mark.parametrize("kind", ["listwise", "pairwise"])
@pytest.mark.parametrize("reward", [False, True])
def test_padding_changes_nothing(kind, reward):
    loss = FusionLoss(VALUES, reward, kind)
    scores = tf.Variable(_scores())
    batch = _batch()
    real = np.arange(N) < batch["num_candidates"][:, None]
    with tf.GradientTape() as tape:
        plain = loss(batch, scores).total
    gradient = tape.gradient(plain, scores).numpy()
    assert not gradient[~real].any()
    for row, (gains, places) in enumerate(_lists(batch, reward)):
        unlisted = np.setdiff1d(np.arange(N), places)
        assert not gradient[row, unlisted].any()
        assert gradient[row].any() == (len(set(gains)) > 1)
    for junk in (7.0, np.nan, np.inf):
        scores.assign(np.where(real, _scores(), junk))
        with tf.GradientTape() as tape:
            other = loss(_batch(junk=junk), scores).total
        assert other.numpy() == plain.numpy()
        np.testing.assert_array_equal(tape.gradient(other, scores), gradient)


def test_requests_of_one_outcome_count_nothing_and_are_counted():
    labels = np.zeros((4, 3, 3), "float32")
    labels[0, :, 0] = 1  # everything clicked
    labels[2, 1, 0] = 1  # the only request with an order to learn
    labels[3, 0, 2] = 1  # one candidate
    batch = {
        "labels": labels,
        "label_weights": np.ones_like(labels),
        "num_candidates": np.array([3, 3, 3, 1], "int32"),
    }
    loss = FusionLoss(VALUES)
    scores = tf.Variable(_scores()[:4, :3])
    with tf.GradientTape() as tape:
        found = loss(batch, scores)
    rows = tape.gradient(found.total, scores).numpy().any(axis=1)
    assert rows.tolist() == [False, False, True, False]
    assert (int(found.num_used), int(found.num_skipped)) == (1, 3)
    batch["num_candidates"][:] = 1
    none = loss(batch, scores)
    assert (float(none.total), int(none.num_skipped)) == (0.0, 4)


def test_a_label_of_weight_zero_is_not_seen():
    batch = _batch()
    changed = dict(batch)
    changed["labels"] = np.where(
        batch["label_weights"] > 0, batch["labels"], 1 - batch["labels"]
    )
    loss = FusionLoss(VALUES)
    one, other = loss(batch, _scores()), loss(changed, _scores())
    assert one.total.numpy() == other.total.numpy()


def test_listwise_is_least_where_softmax_is_proportional_to_expected_gain():
    """Many requests with the same chances: their logs are the optimum."""
    rng = np.random.default_rng(0)
    chances = np.array([0.05, 0.1, 0.3])
    labels = (rng.random((40_000, 3, 1)) < chances[:, None]).astype("float32")
    batch = {
        "labels": labels,
        "label_weights": np.ones_like(labels),
        "num_candidates": np.full(len(labels), 3, "int32"),
    }
    loss = FusionLoss((1.0,), request_weights="gain")
    scores = tf.Variable(np.log(chances)[None].astype("float32"))
    with tf.GradientTape() as tape:
        total = loss(batch, tf.tile(scores, [len(labels), 1])).total
    assert np.abs(tape.gradient(total, scores)).max() < 0.02
    scores.assign_add([[0.0, 0.0, 0.7]])
    worse = loss(batch, tf.tile(scores, [len(labels), 1])).total
    assert worse > total + 0.01


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FusionLoss((0.0, 0.0)), "not all of them 0"),
        (lambda: FusionLoss((float("inf"), 2.0)), "finite numbers"),
        (lambda: FusionLoss(VALUES, kind="groupwise"), "`kind`.*'groupwise'"),
        (lambda: FusionLoss(VALUES, request_weights="x"), "`request_weights`"),
        (
            lambda: FusionLoss((), reward=True).gains(
                {k: v for k, v in _batch().items() if k != "reward"}
            ),
            "no column `reward`",
        ),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(DataError, match=message):
        make()


def test_gains_take_the_values_of_the_scenario():
    own = (2.0, 0.0, 3.0)
    schema = small_schema(
        scenario_column="scenario", scenario_values=(ScenarioValues(2, own),)
    )
    scenario = np.arange(R) % 3 + 1
    batch = _batch(scenario=scenario)
    gains = FusionLoss(schema).gains(batch)[0].numpy()
    for row in range(R):
        values = own if scenario[row] == 2 else schema.objective_values
        alone = {name: column[row : row + 1] for name, column in batch.items()}
        expected = FusionLoss(values).gains(alone)[0].numpy()
        np.testing.assert_allclose(gains[row : row + 1], expected, rtol=1e-6)
    # Values given for the fusion alone hold everywhere.
    flat = FusionLoss(schema.objective_values).gains(batch)[0].numpy()
    assert not np.allclose(gains, flat)
