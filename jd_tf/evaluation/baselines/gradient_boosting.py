"""LightGBM on the features of the trees: what wins on tables of logs."""

import importlib.util
from collections.abc import Iterable
from typing import Any

import numpy as np

from jd_tf.evaluation.baselines.impression_features import (
    ImpressionFeatures,
    Rows,
)
from jd_tf.evaluation.baselines.simple_baselines import Baseline, Batch
from jd_tf.evaluation.baselines.trees import MIN_OF_EACH_CLASS
from jd_tf.evaluation.collect import to_numpy
from jd_tf.evaluation.objective_metrics import NDCG_PLACES
from jd_tf.schema import Schema

INSTALLED = importlib.util.find_spec("lightgbm") is not None
_OPTIONS: dict[str, Any] = {
    "learning_rate": 0.05,
    "num_leaves": 31,
    "min_data_in_leaf": 50,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "eval_at": [NDCG_PLACES],
    "seed": 0,
    "deterministic": True,
    "force_col_wise": True,
    # Threads that wait for each other on a busy machine: 69 s for what one
    # does in 5.
    "num_threads": 1,
    "verbosity": -1,
}
_PATIENCE = 40


class LightGBM(Baseline):
    """One boosted ensemble an objective, stopped by the validation split.

    Without a validation split all rounds are learned. Needs the package
    `lightgbm`: `pip install "jd_tf[benchmark]"`.

    Args:
        schema: of the batches.
        features: what it learns from; made for it if None.
        max_rounds: trees an objective; fewer where they stop helping.
    """

    def __init__(
        self,
        schema: Schema,
        features: ImpressionFeatures | None = None,
        max_rounds: int = 600,
    ):
        super().__init__(schema)
        self.features = features or ImpressionFeatures(schema)
        self.max_rounds = max_rounds
        self._models: list[Any] = []

    def fit(
        self, batches: Iterable[Batch], validation: Iterable[Batch] = ()
    ) -> "LightGBM":
        """Learns objective by objective; see the base class."""
        import lightgbm

        parts = [self.features.fit(batches), self.features.rows(validation)]
        parts = [part for part in parts if len(part.labels)]
        # Binned once for all objectives.
        train = lightgbm.Dataset(parts[0].features, params=_OPTIONS).construct()
        sets = [train, *(train.create_valid(p.features) for p in parts[1:])]
        stop = lightgbm.early_stopping(_PATIENCE, verbose=False)
        self._models = []
        for options, targets in self._goals(parts):
            for data, part, (labels, weights) in zip(
                sets, parts, targets, strict=True
            ):
                data.construct().set_label(labels)
                data.set_weight(weights).set_group(part.sizes)
            labels = targets[0][0][targets[0][1] > 0]
            positives = np.count_nonzero(labels)
            if min(positives, len(labels) - positives) < MIN_OF_EACH_CLASS:
                self._models.append(None)
                continue
            self._models.append(
                lightgbm.train(
                    _OPTIONS | options,
                    train,
                    self.max_rounds,
                    valid_sets=sets[1:],
                    callbacks=[stop] if sets[1:] else [],
                )
            )
        return self

    def score(self, batch: Batch) -> dict[str, np.ndarray]:
        """Predicts every objective; see the base class."""
        found = self._predict(batch, self.features.means())
        return {"probabilities": found}

    def _goals(self, parts: list[Rows]) -> Iterable[tuple[dict, list]]:
        """Options, and per split labels and weights, of each model."""
        for targets in self._by_objective(parts):
            yield {"objective": "binary"}, targets

    def _by_objective(self, parts: list[Rows]) -> Iterable[list]:
        for t in range(len(self.schema.objectives)):
            yield [
                (p.labels[:, t].copy(), p.weights[:, t].copy()) for p in parts
            ]

    def _predict(self, batch: Batch, fallback: np.ndarray) -> np.ndarray:
        """[B, N, K] answers of all models; `fallback` [K] without one."""
        batch = to_numpy(batch)
        features = self.features.transform(batch)
        columns = [
            np.full(len(features), missing)
            if model is None
            else model.predict(features)
            for model, missing in zip(self._models, fallback, strict=True)
        ]
        return self.features.padded(batch, np.stack(columns, axis=1))


class LambdaRank(LightGBM):
    """LightGBM that learns the order of a request, not probabilities.

    One ensemble an objective, and one for business value, whose order is the
    final one. Arguments are those of `LightGBM`.

    References:
        Christopher Burges, "From RankNet to LambdaRank to LambdaMART: An
        Overview", MSR-TR-2010-82.
    """

    def score(self, batch: Batch) -> dict[str, np.ndarray]:
        """Scores every objective and the value; see the base class."""
        found = self._predict(batch, np.zeros(len(self._models)))
        return {"objective_scores": found[..., :-1], "score": found[..., -1]}

    def _goals(self, parts: list[Rows]) -> Iterable[tuple[dict, list]]:
        values = np.array(self.schema.objective_values)
        outcomes = [np.where(p.weights > 0, p.labels, 0.0) for p in parts]
        for targets in self._by_objective(parts):
            yield _RANKING | {"label_gain": [0.0, 1.0]}, targets
        gains = [found @ values for found in outcomes]
        # Relevance is a whole number, an index into the list of gains.
        levels = np.unique(np.concatenate(gains))
        targets = [(np.searchsorted(levels, g), np.ones(len(g))) for g in gains]
        yield _RANKING | {"label_gain": levels.tolist()}, targets


_RANKING = {"objective": "lambdarank", "metric": "ndcg"}
