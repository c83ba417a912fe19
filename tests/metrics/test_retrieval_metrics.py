"""Metrics from places against those of whole lists."""

import numpy as np

from jd_tf.metrics import group_gain_at, group_ndcg
from jd_tf.metrics.retrieval_metrics import place_metrics


def test_equal_those_of_ranked_lists_ties_included():
    rng = np.random.default_rng(1)
    requests, items = 40, 25
    scores = rng.integers(0, 6, (requests, items)).astype(float)
    target = rng.integers(0, items, requests)
    rows = np.arange(requests)
    own = scores[rows, target, None]
    found = place_metrics(
        (scores > own).sum(axis=1),
        (scores == own).sum(axis=1) - 1,
        places=(1, 5, 100),
        ndcg_places=(5,),
    )
    labels = np.zeros(scores.shape)
    labels[rows, target] = 1.0
    lists = scores.ravel(), labels.ravel(), np.repeat(rows, items), requests
    for k in (1, 5, 100):
        np.testing.assert_allclose(
            found[f"recall@{k}"], group_gain_at(*lists, k)
        )
    np.testing.assert_allclose(found["ndcg@5"], group_ndcg(*lists, 5))
