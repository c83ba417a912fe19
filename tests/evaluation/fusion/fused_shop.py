"""A shop with a fake ranker of known fusion weights."""

import dataclasses

import numpy as np

from jd_tf.evaluation.fusion.observation import observe
from jd_tf.schema import IdColumn
from tests.evaluation.toy_shop import later, toy_batch, toy_schema

SESSION = 3000.0
PAGES = ("feed", "cart")
WEIGHTS = np.array([[0.8, 0.2], [0.3, 0.7]])


def shop_schema(**changes):
    scenario = IdColumn("scenario", dtype="string", vocabulary=PAGES)
    plain = toy_schema()
    fields = {
        "context_columns": (*plain.context_columns, scenario),
        "scenario_column": "scenario",
        "oracle_names": ("intent",),
    }
    return dataclasses.replace(plain, **{**fields, **changes})


def shop_batches(first, count=3, size=200):
    """Batches with intent, scenario and probabilities that are true."""
    batches, answers = [], []
    for seed in range(first, first + count):
        batch = toy_batch(seed, size)
        rng = np.random.default_rng(seed)
        real = batch["item_id"] > 0
        intent = rng.integers(0, 2, size)
        chances = rng.beta([2, 1], [5, 9], (size, real.shape[1], 2))
        labels = (rng.random(chances.shape) < chances) & real[..., None]
        pages = np.array([page.encode() for page in PAGES], object)
        batches.append(
            {
                **batch,
                "oracle_intent": intent,
                "scenario": pages[(rng.random(size) < 0.3).astype(int)],
                "labels": labels.astype(np.float32),
                "user_id": np.array(
                    [b"u%d-%d" % (seed, i // 4) for i in range(size)], object
                ),
                **later(batch, np.arange(size) * 700 + 10**6 * seed),
            }
        )
        weights = WEIGHTS[intent]
        chances = np.where(real[..., None], chances, 0.5).astype(np.float32)
        answers.append(
            {
                "probabilities": chances,
                "score": np.einsum("bnt,bt->bn", np.log(chances), weights),
                "fusion_weights": weights[:, None],
            }
        )
    return batches, answers


def shop(first=0, schema=None, **changes):
    batches, answers = shop_batches(first)
    for answer in answers:
        answer.update(changes)
    answered = iter(answers)
    return observe(
        batches, schema or shop_schema(), lambda _: next(answered), SESSION
    )
