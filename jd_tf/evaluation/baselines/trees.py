"""Gradient-boosted trees on hand-made features: the usual strong baseline."""

import concurrent.futures
import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from jd_tf.evaluation.baselines.features import (
    Arrays,
    Categories,
    dense_features,
    history_features,
)
from jd_tf.evaluation.baselines.rates import RateTable, rate_levels
from jd_tf.evaluation.baselines.simple_baselines import Baseline, Batch
from jd_tf.evaluation.collect import to_numpy
from jd_tf.metrics.cells import real_cells
from jd_tf.schema import Schema

_MIN_OF_EACH_CLASS = 20
_MIN_VALUES_OF_A_COLUMN = 20
_SEED = 0
# The first part of the training split is counted only; each later part is
# learned from with the rates of all parts before it.
_PART_STARTS = (0.0, 0.4, 0.6, 0.8)


class Trees(Baseline):
    """One boosted ensemble an objective (scikit-learn's histogram trees).

    Features: what candidates share with the histories, the histories summed
    up, dense and categorical columns, and how often the item and its
    category, brand or shop were chosen. Those rates come from requests
    *before* the one at hand (by time, or as they come where there is no
    clock): a rate that contains the row's own label, even with that label
    taken out again, gives the label away. Scoring uses the rates of the
    whole training split. Category numbers are split by order: splits by sets
    of them learn the training rows by heart and cost up to 0.05 AUC on
    simulated orders and 0.2 on those of real sessions.

    Args:
        schema: of the batches.
        max_impressions: learned from at most; whole requests are drawn.
        max_iter: trees an objective; fewer where they stop helping.
    """

    def __init__(
        self,
        schema: Schema,
        max_impressions: int = 300_000,
        max_iter: int = 300,
    ):
        super().__init__(schema)
        if max_impressions < 1:
            raise ValueError(
                f"`max_impressions` must be positive. Got: {max_impressions}."
            )
        self.max_impressions = max_impressions
        self._id_names = [column.name for column in schema.single_id_columns]
        self._tables: list[RateTable] = []
        self._categories = Categories(schema)
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

    def fit(self, batches: Iterable[Batch]) -> "Trees":
        """Orders requests in one pass, learns in another; see the base class.

        Raises:
            ValueError: where the second pass differs from the first.
        """
        sizes, parts, drawn = self._plan(batches)
        tables = [self._new_tables() for _ in _PART_STARTS]
        rows: list[dict[str, np.ndarray]] = []
        start = 0
        for raw in batches:
            batch = to_numpy(raw)
            here = slice(start, start + len(batch["num_candidates"]))
            start = here.stop
            if not np.array_equal(sizes[here], batch["num_candidates"]):
                raise ValueError(
                    "the batches changed between two passes: pass a list, or "
                    "a data set without a generator or reshuffling in it."
                )
            for part, part_tables in enumerate(tables):
                members = _select(batch, parts[here] == part)
                for table in part_tables:
                    table.add(members)
            chosen = _select(batch, drawn[here])
            rows.append(self._rows(chosen, parts[here][drawn[here]]))
        if start != len(sizes):
            raise ValueError(f"{len(sizes)} requests, then {start}.")
        self._learn(tables, rows)
        return self

    def score(self, batch: Batch) -> dict[str, np.ndarray]:
        """Predicts every objective; see the base class."""
        if not self._tables:
            raise ValueError("fit the trees before scoring.")
        batch = to_numpy(batch)
        shape = batch["item_id"].shape
        real = real_cells(batch["num_candidates"], shape[1])
        ids = {name: batch[name][real] for name in self._id_names}
        fixed = self._fixed_features(batch)[real]
        features = np.hstack([fixed, _rates(self._tables, ids)])
        found = np.zeros((*shape, len(self.schema.objectives)), np.float32)
        found[real] = self._ensemble.predict(features)
        return {"probabilities": found}

    def _new_tables(self) -> list[RateTable]:
        chain = rate_levels(self.schema)
        alone = [(n,) for n in self._id_names if n not in chain]
        size = len(self.schema.objectives)
        return [RateTable(c, size) for c in (chain, *alone)]

    def _plan(
        self, batches: Iterable[Batch]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Candidates, part and whether it is learned from, per request."""
        sizes, times = [], []
        for raw in batches:
            batch = to_numpy(raw)
            self._categories.add(batch)
            sizes.append(batch["num_candidates"])
            times.append(batch.get("request_time", np.zeros_like(sizes[-1])))
        if not sizes:
            raise ValueError("there are no batches to learn from.")
        self._categories.settle()
        size, time = np.concatenate(sizes), np.concatenate(times)
        rank = np.empty(len(time))
        rank[np.argsort(time, kind="stable")] = np.arange(len(time))
        starts = np.array(_PART_STARTS) * len(time)
        part = np.searchsorted(starts, rank, side="right") - 1
        share = self.max_impressions / max(size[part > 0].sum(), 1)
        lots = np.random.default_rng(_SEED).random(len(part))
        return size, part, (part > 0) & (lots < share)

    def _rows(self, batch: Arrays, part: np.ndarray) -> dict[str, np.ndarray]:
        """Real impressions of a batch, flat, all but the rates."""
        real = real_cells(batch["num_candidates"], batch["item_id"].shape[1])
        names = ("labels", "label_weights", *self._id_names)
        return {
            "fixed": self._fixed_features(batch)[real],
            "part": np.repeat(part, batch["num_candidates"]),
            **{name: batch[name][real] for name in names},
        }

    def _fixed_features(self, batch: Arrays) -> np.ndarray:
        """[B, N, K] features that depend on no label, categories first."""
        parts = (
            self._categories.encode(batch),
            dense_features(batch, self.schema),
            history_features(batch, self.schema)[0],
        )
        return np.concatenate(parts, axis=2)

    def _learn(
        self, tables: list[list[RateTable]], rows: list[dict[str, np.ndarray]]
    ) -> None:
        """Takes the parts one by one, each with the rates before it."""
        blocks = {n: np.concatenate([row[n] for row in rows]) for n in rows[0]}
        self._tables = self._new_tables()
        features, order = [], []
        for part, counted in enumerate(tables):
            mine = np.flatnonzero(blocks["part"] == part)
            ids = {name: blocks[name][mine] for name in self._id_names}
            rates = _rates(self._tables, ids)
            features.append(np.hstack([blocks["fixed"][mine], rates]))
            order.append(mine)
            for table, more in zip(self._tables, counted, strict=True):
                table.merge(more)
        rows_in_order = np.concatenate(order)
        self._ensemble.fit(
            np.concatenate(features),
            blocks["labels"][rows_in_order],
            blocks["label_weights"][rows_in_order],
            self._tables[0].mean(),
        )


def _rates(tables: list[RateTable], ids: dict[str, np.ndarray]) -> np.ndarray:
    """[M, K]: every level's rates and how often the id was shown."""
    columns = []
    for table in tables:
        for name, rates in table.rates(ids).items():
            shown = np.log1p(table.shown(name, ids[name])[:, :1])
            columns += [rates, shown]
    return np.hstack(columns).astype(np.float32)


def _select(batch: Arrays, requests: np.ndarray) -> dict[str, np.ndarray]:
    """The chosen requests of a batch."""
    return {name: array[requests] for name, array in batch.items()}


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
