"""LightGBM as a rival: deterministic, stopped in time, and in its place."""

import numpy as np
import pytest

from jd_tf.evaluation.baselines import LambdaRank, LightGBM
from tests.evaluation.toy_shop import toy_batch, toy_schema

pytest.importorskip(
    "lightgbm", reason='LightGBM is absent: pip install "jd_tf[benchmark]"'
)


@pytest.fixture(scope="module")
def batches():
    return [toy_batch(seed) for seed in range(20)]


@pytest.mark.parametrize("kind", [LightGBM, LambdaRank])
def test_learning_twice_gives_the_same(kind, batches):
    held = [toy_batch(seed) for seed in range(20, 24)]
    scores = [
        kind(toy_schema(), max_iter=20).fit(batches, held).score(held[0])
        for _ in range(2)
    ]
    for name, values in scores[0].items():
        np.testing.assert_array_equal(values, scores[1][name])


def test_it_stops_where_validation_gets_no_better(batches):
    held = [toy_batch(seed) for seed in range(20, 24)]
    noise = np.random.default_rng(0)
    for batch in batches:
        batch = dict(batch)
        batch["labels"] = noise.permuted(batch["labels"], axis=0)
    fitted = LightGBM(toy_schema(), max_iter=600).fit(batches, held)
    assert all(0 < m.best_iteration < 300 for m in fitted._models)
    whole = LightGBM(toy_schema(), max_iter=70).fit(batches)
    assert [m.num_trees() for m in whole._models] == [70, 70]


def test_weights_of_nothing_do_not_count(batches):
    blind = [dict(batch) for batch in batches]
    for batch in blind:
        spoilt = np.arange(100) % 3 == 0
        batch["labels"] = batch["labels"].copy()
        batch["labels"][spoilt] = 1.0
        batch["label_weights"] = batch["label_weights"].copy()
        batch["label_weights"][spoilt] = 0.0
    fitted = LightGBM(toy_schema(), max_iter=40).fit(blind)
    labels = batches[0]["labels"]
    real = batches[0]["label_weights"][..., 0] > 0
    found = fitted.score(batches[0])["probabilities"][real]
    # A third of all labels is 1 where none of them counts.
    assert abs(found[:, 0].mean() - labels[real][:, 0].mean()) < 0.08


def test_too_few_of_a_class_give_the_mean():
    batch = toy_batch(0, size=8)
    real = batch["label_weights"][..., 0] > 0
    found = LightGBM(toy_schema()).fit([batch]).score(batch)["probabilities"]
    mean = batch["labels"][real].mean(axis=0)
    np.testing.assert_allclose(found[real], mean[None] + 0 * found[real])
    ranked = LambdaRank(toy_schema()).fit([batch]).score(batch)
    assert not ranked["score"].any()


def test_the_order_by_value_puts_orders_first(batches):
    held = toy_batch(30, size=400)
    fitted = LambdaRank(toy_schema(), max_iter=80).fit(batches)
    found = fitted.score(held)
    assert found["objective_scores"].shape == (400, 6, 2)
    real = held["label_weights"][..., 0] > 0
    bought = (held["labels"][..., 1] > 0) & real
    order = found["score"]
    assert order[bought].mean() > order[real & ~bought].mean() + 0.1
