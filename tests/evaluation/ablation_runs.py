"""Made-up results of runs, for the tests of tables and reports."""

import numpy as np

from jd_tf.evaluation.ablations.judge import COLD, judge_run
from jd_tf.evaluation.collect import Predictions
from jd_tf.schema import Objective
from tests.requests import small_schema

SCHEMA = small_schema(
    objectives=(Objective("click"), Objective("order", given="click")),
    max_candidates=6,
)
RANKER = "jd_ranker"


def predictions(
    skill: float, seed: int, num_requests: int = 250
) -> Predictions:
    """Returns predictions of a model on always the same requests.

    Args:
        skill: weight of the truth in the scores.
        seed: of the model's errors.
        num_requests: R.
    """
    shop = np.random.default_rng(0)
    truth = shop.normal(0, 1, (num_requests, 6, 2))
    clicks = shop.random((num_requests, 6)) < 1 / (
        1 + np.exp(1 - truth[..., 0])
    )
    orders = clicks & (shop.random((num_requests, 6)) < 0.3)
    labels = np.stack([clicks, orders], axis=2).astype(np.float32)
    lengths = shop.integers(2, 7, num_requests)
    real = np.arange(6) < lengths[:, None]
    cold = real & (shop.random((num_requests, 6)) < 0.3)
    noise = np.random.default_rng(seed).normal(0, 1, truth.shape)
    probabilities = 1 / (1 + np.exp(-skill * truth - noise))
    return Predictions(
        SCHEMA,
        labels,
        np.repeat(real[..., None], 2, axis=2).astype(np.float32),
        lengths,
        np.array([f"u{i // 2}" for i in range(num_requests)], object),
        {RANKER: {"probabilities": probabilities}},
        {COLD: cold},
    )


def result(skill: float, seed: int, **options) -> dict:
    """Returns what `judge_run` finds for such a model."""
    return judge_run(predictions(skill, seed, **options), RANKER, 100)
