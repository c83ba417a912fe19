"""Baselines: rankings that need no deep learning.

A baseline is made from a schema, learns by `fit(batches)`, and its
`score(batch)` returns a dict of outputs as of `evaluate_predictions`. Rates
predict amounts by their means; trees leave them out.
It reads the columns that exist when serving, the id of the user, the labels of
the training split, and nothing else.
"""

import importlib.util

from jd_tf.evaluation.baselines.gradient_boosting import LambdaRank, LightGBM
from jd_tf.evaluation.baselines.impression_features import ImpressionFeatures
from jd_tf.evaluation.baselines.simple_baselines import (
    Baseline,
    LastCategory,
    Popularity,
    UserMean,
)
from jd_tf.evaluation.baselines.trees import Trees

BASELINES: dict[str, type[Baseline]] = {
    "popularity": Popularity,
    "user_mean": UserMean,
    "last_category": LastCategory,
    "trees": Trees,
}
if importlib.util.find_spec("lightgbm"):
    BASELINES |= {"lightgbm": LightGBM, "lambdarank": LambdaRank}

__all__ = [
    "BASELINES",
    "Baseline",
    "ImpressionFeatures",
    "LambdaRank",
    "LastCategory",
    "LightGBM",
    "Popularity",
    "Trees",
    "UserMean",
]
