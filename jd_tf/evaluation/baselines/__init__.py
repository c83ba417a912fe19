"""Baselines: rankings that need no deep learning.

A baseline is made from a schema, learns by `fit(batches)`, and its
`score(batch)` returns a dict of `probabilities` [B, N, T] or `score` [B, N].
It reads the columns that exist when serving, the labels of the training
split, and nothing else.
"""

from jd_tf.evaluation.baselines.simple_baselines import (
    Baseline,
    LastCategory,
    Popularity,
)
from jd_tf.evaluation.baselines.trees import Trees

BASELINES: dict[str, type[Baseline]] = {
    "popularity": Popularity,
    "last_category": LastCategory,
    "trees": Trees,
}

__all__ = ["BASELINES", "Baseline", "LastCategory", "Popularity", "Trees"]
