"""One boosted ensemble an objective, or its mean where data is too thin."""

import concurrent.futures
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

_MIN_OF_EACH_CLASS = 20
_MIN_VALUES_OF_A_COLUMN = 20


class Ensemble:
    """Learns T labels from the same rows; options are scikit-learn's."""

    def __init__(self, **options: Any):
        self.options = options
        self._models: Sequence[HistGradientBoostingClassifier | float] = ()

    def fit(
        self,
        features: np.ndarray,
        labels: np.ndarray,
        weights: np.ndarray,
        means: np.ndarray,
    ) -> None:
        """Learns every objective, side by side, of features [M, K] and [M, T].

        `means` [T] are predicted where there is too little of a class.
        """

        def fit(t: int) -> HistGradientBoostingClassifier | float:
            rows = weights[:, t] > 0
            outcome = labels[rows, t]
            positives = np.count_nonzero(outcome)
            rarer = min(positives, len(outcome) - positives)
            if rarer < _MIN_OF_EACH_CLASS:
                return float(means[t])
            model = HistGradientBoostingClassifier(**self.options)
            learned = features[rows]
            # scikit-learn cannot bin a column without a single value; one
            # with so few may be left without after it splits rows off.
            known = np.count_nonzero(~np.isnan(learned), axis=0)
            learned[:, known < _MIN_VALUES_OF_A_COLUMN] = 0.0
            with _one_thread():
                return model.fit(learned, outcome, weights[rows, t])

        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            self._models = list(pool.map(fit, range(len(means))))

    def predict(self, features: np.ndarray) -> np.ndarray:
        """[M, T] float32 probabilities."""
        found = np.empty((len(features), len(self._models)), np.float32)
        for t, model in enumerate(self._models):
            if isinstance(model, float):
                found[:, t] = model
            elif len(features):
                with _one_thread():
                    found[:, t] = model.predict_proba(features)[:, 1]
        return found


def _one_thread() -> threadpool_limits:
    """Keeps OpenMP from spinning for cores that others use.

    With OpenMP's own threads on a busy machine a fit of 4 seconds was seen
    to take 84; objectives in threads of their own use the cores as well.
    """
    return threadpool_limits(1, "openmp")
