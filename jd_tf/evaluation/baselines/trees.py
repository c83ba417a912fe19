"""Gradient-boosted trees on hand-made features: the usual strong baseline."""

import concurrent.futures
import os
from collections.abc import Iterable
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from jd_tf.evaluation.baselines.impression_features import (
    ImpressionFeatures,
    Rows,
)
from jd_tf.evaluation.baselines.simple_baselines import Baseline, Batch
from jd_tf.evaluation.collect import to_numpy
from jd_tf.metrics.cells import unequal_weights
from jd_tf.schema import Schema

_MIN_OF_EACH_CLASS = 20
_MIN_VALUES_OF_A_COLUMN = 20
_SEED = 0


class Trees(Baseline):
    """One boosted ensemble an objective (scikit-learn's histogram trees).

    Category numbers are split by order: splits by sets of them learn the
    training rows by heart and cost up to 0.05 AUC on simulated orders and 0.2
    on those of real sessions.

    Args:
        schema: of the batches.
        features: what it learns from; made for it if None.
        max_iter: trees an objective; fewer where they stop helping.
    """

    def __init__(
        self,
        schema: Schema,
        features: ImpressionFeatures | None = None,
        max_iter: int = 300,
    ):
        super().__init__(schema)
        self.features = features or ImpressionFeatures(schema)
        self.max_iter = max_iter
        self._models: list[Any] = []

    def fit(
        self, batches: Iterable[Batch], validation: Iterable[Batch] = ()
    ) -> "Trees":
        """Learns objective by objective; see the base class."""
        del validation  # A tenth of the rows is held out.
        rows = self.features.fit(batches)
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            objectives = range(len(self.schema.outcome_names))
            self._models = list(
                pool.map(lambda t: self._learn(rows, t), objectives)
            )
        return self

    def score(self, batch: Batch) -> dict[str, np.ndarray]:
        """Predicts every objective; see the base class."""
        fallback = self.features.means()[: len(self._models)]
        found = self._predict(batch, fallback)
        return {"probabilities": found}

    def _predict(self, batch: Batch, fallback: np.ndarray) -> np.ndarray:
        """[B, N, K] answers of all models; `fallback` [K] without one."""
        if not self._models:
            raise ValueError("fit the baseline before scoring.")
        batch = to_numpy(batch)
        features = self.features.transform(batch)
        columns = [
            np.full(len(features), missing)
            if model is None or not len(features)
            else self._ask(model, features)
            for model, missing in zip(self._models, fallback, strict=True)
        ]
        return self.features.padded(batch, np.stack(columns, axis=1))

    def _ask(self, model: Any, features: np.ndarray) -> np.ndarray:
        with _one_thread():
            return model.predict_proba(features)[:, 1]

    def _learn(
        self, rows: Rows, t: int
    ) -> HistGradientBoostingClassifier | None:
        """The model of an objective; None where a class is too thin."""
        counts = rows.weights[:, t] > 0
        outcome = rows.labels[counts, t]
        if too_thin(outcome):
            return None
        model = HistGradientBoostingClassifier(
            max_iter=self.max_iter,
            learning_rate=0.1,
            max_leaf_nodes=15,
            # Half the features a split and coarse bins: as good as all of
            # them at half the learning rate, in two thirds of the time.
            max_features=0.5,
            max_bins=63,
            min_samples_leaf=50,
            # Leaves of rare outcomes run off to infinity without a penalty:
            # with 37 orders, normalised entropy was 13 without, 1 with it.
            l2_regularization=5.0,
            early_stopping=True,
            random_state=_SEED,
        )
        learned = rows.features[counts]
        # scikit-learn cannot bin a column without a single value; one with so
        # few may be left without after it splits rows off.
        known = np.count_nonzero(~np.isnan(learned), axis=0)
        learned[:, known < _MIN_VALUES_OF_A_COLUMN] = 0.0
        with _one_thread():
            weights = unequal_weights(rows.weights[counts, t])
            return model.fit(learned, outcome, weights)


def too_thin(outcome: np.ndarray) -> bool:
    """Tells if one of two classes has too few rows to learn from."""
    positives = np.count_nonzero(outcome)
    return min(positives, len(outcome) - positives) < _MIN_OF_EACH_CLASS


def _one_thread() -> threadpool_limits:
    """Keeps OpenMP from spinning for cores that others use.

    With OpenMP's own threads on a busy machine a fit of 4 seconds was seen
    to take 84; objectives in threads of their own use the cores as well.
    """
    return threadpool_limits(1, "openmp")
