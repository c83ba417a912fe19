"""Learned weights against searched ones, where the truth is planted.

Probabilities are true; the business value of an outcome depends on the
session, of which the fusion sees a noisy sign. So the best single vector
loses a known amount.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from jd_tf.evaluation.fusion.grid import search_weights
from jd_tf.evaluation.fusion.predictions import FusionPredictions
from jd_tf.evaluation.fusion.weight_judge import WeightJudge
from jd_tf.layers import GlobalFusion, PersonalizedFusion
from jd_tf.training.fusion.fusion_loss import FusionLoss

NAMES, VALUES = ("click", "cart", "order"), (1.0, 5.0, 30.0)
BROWSING, BUYING = np.array([4.0, 1.0, 0.5]), np.array([0.1, 1.0, 1.0])


def _shop(seed, num_requests=5000, width=12):
    rng = np.random.default_rng(seed)
    buying = rng.random(num_requests) < 0.4
    rate = np.where(buying[:, None], [-2, -2.5, -3.5], [-2, -4, -5.5])
    logits = rate[:, None] + 1.2 * rng.normal(size=(num_requests, width, 3))
    chances = 1 / (1 + np.exp(-logits))
    labels = (rng.random(chances.shape) < chances).astype("float32")
    business = np.where(buying[:, None], BUYING, BROWSING) * VALUES
    gains = np.einsum("rnt,rt->rn", labels, business).astype("float32")
    predictions = FusionPredictions(
        chances.astype("float32"),
        labels,
        np.full(num_requests, width, "int32"),
        NAMES,
        VALUES,
        gains,
        {"intent": np.where(buying, "buying", "browsing")},
    )
    sign = buying + 0.5 * rng.normal(size=num_requests)
    noise = rng.normal(size=num_requests)
    features = np.stack([sign, noise], axis=1).astype("float32")
    return predictions, logits.astype("float32"), features


def _learned(cls, kind):
    """Scores [R, N] of the test shop and weights, after a short training."""
    keras.utils.set_random_seed(1)
    learning, logits, features = _shop(0)
    layer = cls(3)
    layer(logits[:2], features[:2])
    loss = FusionLoss(VALUES, reward=True, kind=kind)
    optimizer = keras.optimizers.Adam(0.02)
    variables = layer.trainable_weights

    @tf.function(autograph=False)
    def step(logits, features, batch):
        with tf.GradientTape() as tape:
            score, _ = layer(logits, features)
            total = loss(batch, layer.list_logits(score)).total
        values = [variable.value for variable in variables]
        optimizer.apply(tape.gradient(total, values), variables)

    rng = np.random.default_rng(2)
    for _ in range(250):
        rows = rng.integers(0, len(logits), 128)
        batch = {
            "labels": learning.labels[rows],
            "label_weights": np.ones_like(learning.labels[rows]),
            "num_candidates": learning.num_candidates[rows],
            "reward": learning.gains[rows],
        }
        step(logits[rows], features[rows], batch)
    _, logits, features = _shop(1)
    score, weights = layer(logits, features)
    return score.numpy(), weights.numpy()


@pytest.fixture(scope="module")
def searched():
    grid = search_weights(WeightJudge(_shop(0)[0], segments=("intent",)), 200)
    judge = WeightJudge(_shop(1)[0], segments=("intent",))
    best = judge.request_ndcg(judge.features @ grid.best_weights())
    return judge, best


def _apart(ndcg, best):
    """Mean distance from the searched weights, and its standard error."""
    apart = (ndcg - best)[~np.isnan(best)]
    return apart.mean(), apart.std() / np.sqrt(len(apart))


@pytest.mark.parametrize("kind", ["listwise", "pairwise"])
def test_one_learned_vector_is_as_good_as_the_best_searched(kind, searched):
    judge, best = searched
    score, weights = _learned(GlobalFusion, kind)
    assert np.ptp(weights, axis=0).max() < 1e-6
    mean, error = _apart(judge.request_ndcg(score), best)
    assert mean > -0.002 - 2 * error


@pytest.mark.parametrize("kind", ["listwise", "pairwise"])
def test_personal_weights_beat_the_best_searched_vector(kind, searched):
    judge, best = searched
    score, weights = _learned(PersonalizedFusion, kind)
    mean, error = _apart(judge.request_ndcg(score), best)
    assert mean > 2 * error
    shares = weights / weights.sum(axis=1, keepdims=True)
    buying = judge.predictions.segments["intent"] == "buying"
    assert shares[buying, 0].mean() < shares[~buying, 0].mean() - 0.1
    assert shares[buying, 2].mean() > shares[~buying, 2].mean() + 0.05
