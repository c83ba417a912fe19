"""Gradient-boosted trees on hand-made features: the usual strong baseline."""

import concurrent.futures
import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from jd_tf.evaluation.baselines.impression_features import ImpressionFeatures
from jd_tf.evaluation.baselines.simple_baselines import Baseline, Batch
from jd_tf.evaluation.collect import to_numpy
from jd_tf.schema import Schema

MIN_OF_EACH_CLASS = 20
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
        self._ensemble = Ensemble(
            max_iter=max_iter,
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

    def fit(
        self, batches: Iterable[Batch], validation: Iterable[Batch] = ()
    ) -> "Trees":
        """Learns objective by objective; see the base class."""
        del validation  # A tenth of the rows is held out.
        rows = self.features.fit(batches)
        self._ensemble.fit(
            rows.features, rows.labels, rows.weights, self.features.means()
        )
        return self

    def score(self, batch: Batch) -> dict[str, np.ndarray]:
        """Predicts every objective; see the base class."""
        batch = to_numpy(batch)
        features = self.features.transform(batch)
        found = self._ensemble.predict(features)
        return {"probabilities": self.features.padded(batch, found)}


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
        """Learns objectives side by side; `means` [T] of too thin classes."""

        def fit(t: int) -> HistGradientBoostingClassifier | float:
            rows = weights[:, t] > 0
            outcome = labels[rows, t]
            positives = np.count_nonzero(outcome)
            rarer = min(positives, len(outcome) - positives)
            if rarer < MIN_OF_EACH_CLASS:
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
