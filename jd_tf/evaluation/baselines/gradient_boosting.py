"""LightGBM on the features of the trees: what wins on tables of logs."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from jd_tf.evaluation.baselines.impression_features import Rows
from jd_tf.evaluation.baselines.simple_baselines import Batch
from jd_tf.evaluation.baselines.trees import Trees, too_thin
from jd_tf.evaluation.objective_metrics import NDCG_PLACES

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


class LightGBM(Trees):
    """Trees of LightGBM, stopped by the validation split.

    Without a validation split all of `max_iter` are learned. Needs the package
    `lightgbm`: `pip install "jd_tf[benchmark]"`. Arguments are those of
    `Trees`.
    """

    def fit(
        self, batches: Iterable[Batch], validation: Iterable[Batch] = ()
    ) -> "LightGBM":
        """Learns objective by objective; see the base class."""
        import lightgbm

        parts = [self.features.fit(batches)]
        parts += [self.features.rows(validation)] if validation else []
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
            labels, weights = targets[0]
            model = None
            if not too_thin(labels[weights > 0]):
                model = lightgbm.train(
                    _OPTIONS | options,
                    train,
                    self.max_iter,
                    valid_sets=sets[1:],
                    callbacks=[stop] if sets[1:] else [],
                )
            self._models.append(model)
        return self

    def _ask(self, model: Any, features: np.ndarray) -> np.ndarray:
        return model.predict(features)

    def _goals(self, parts: list[Rows]) -> Iterable[tuple[dict, list]]:
        """Options, and per split labels and weights, of each model."""
        for t in range(len(self.schema.outcome_names)):
            yield (
                {"objective": "binary"},
                [
                    (p.labels[:, t].copy(), p.weights[:, t].copy())
                    for p in parts
                ],
            )


class LambdaRank(LightGBM):
    """LightGBM that learns the order of a request, not probabilities.

    One ensemble an objective, with amounts as gains, and one for business
    value, whose order is the final one. Arguments are those of `Trees`.

    References:
        Christopher Burges, "From RankNet to LambdaRank to LambdaMART: An
        Overview", MSR-TR-2010-82.
    """

    def score(self, batch: Batch) -> dict[str, np.ndarray]:
        """Scores every objective and the value; see the base class."""
        found = self._predict(batch, np.zeros(len(self._models)))
        return {"objective_scores": found[..., :-1], "score": found[..., -1]}

    def _goals(self, parts: list[Rows]) -> Iterable[tuple[dict, list]]:
        ranking = {"objective": "lambdarank", "metric": "ndcg"}
        for _, targets in super()._goals(parts):
            yield ranking | {"label_gain": [0.0, 1.0]}, targets
        amounts = np.eye(len(self.schema.objectives))
        amounts = amounts[len(self.schema.outcome_names) :]
        for values in (*amounts, np.array(self.schema.objective_values)):
            gains = [
                np.where(p.weights > 0, p.labels, 0) @ values for p in parts
            ]
            # Relevance is a whole number, an index into the list of gains.
            levels = np.unique(np.concatenate(gains))
            targets = [
                (np.searchsorted(levels, g), np.ones(len(g))) for g in gains
            ]
            # LightGBM takes no gains below 0.
            levels -= min(levels[0], 0.0)
            yield ranking | {"label_gain": levels.tolist()}, targets
