"""Baselines without a model: rates, and what a user touched last."""

import abc
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from jd_tf.evaluation.baselines.features import match_events, newest_first
from jd_tf.evaluation.baselines.rates import RateTable, rate_levels, real_rows
from jd_tf.evaluation.collect import to_numpy
from jd_tf.schema import Schema

Batch = Mapping[str, Any]


class Baseline(abc.ABC):
    """Ranks candidates of batches laid out as the schema says."""

    def __init__(self, schema: Schema):
        self.schema = schema

    @abc.abstractmethod
    def fit(
        self, batches: Iterable[Batch], validation: Iterable[Batch] = ()
    ) -> "Baseline":
        """Learns from batches of the training split, and returns itself.

        Some iterate more than once over these dicts of arrays or tensors with
        labels: pass a list or a `tf.data.Dataset`, not a generator. Those that
        stop learning in time look at batches of the validation split.
        """

    @abc.abstractmethod
    def score(self, batch: Batch) -> dict[str, np.ndarray]:
        """Returns outputs as of `evaluate_predictions`, float32.

        Higher is better; what stands beyond `num_candidates` is meaningless.
        """


class Popularity(Baseline):
    """Scores a candidate by its rate of each outcome in the training split.

    The rate of an amount is its mean.

    Rates of items shown rarely are drawn towards their category's, and those
    of categories towards the mean.

    Args:
        schema: of the batches.
        strength: impressions that the level above counts for.
    """

    def __init__(self, schema: Schema, strength: float = 20.0):
        super().__init__(schema)
        self.strength = strength
        self.table: RateTable | None = None

    @property
    def levels(self) -> tuple[str, ...]:
        """Columns whose rates are known, wide to narrow."""
        return rate_levels(self.schema)

    def fit(
        self, batches: Iterable[Batch], validation: Iterable[Batch] = ()
    ) -> "Popularity":
        """Counts impressions and outcomes; see the base class."""
        del validation
        table = RateTable(
            self.levels, len(self.schema.objectives), self.strength
        )
        for batch in batches:
            table.add(real_rows(to_numpy(batch), table.columns))
        self.table = table
        return self

    def score(self, batch: Batch) -> dict[str, np.ndarray]:
        """Smoothed rates of the candidates; see the base class."""
        if self.table is None:
            raise ValueError("fit the baseline before scoring.")
        ids = {name: np.asarray(batch[name]) for name in self.levels}
        rates = self.table.rates(ids)[self.levels[-1]]
        if rates.ndim == 2:
            width = np.shape(batch["item_id"])[1]
            rates = np.repeat(rates[:, None], width, axis=1)
        found = {"probabilities": rates}
        if self.schema.amount_names:
            first = len(self.schema.outcome_names)
            parts = np.split(rates, [first], axis=-1)
            found = dict(zip(("probabilities", "amounts"), parts, strict=True))
        return found


class UserMean(Popularity):
    """Scores all candidates alike: the user's rate of each outcome.

    What it reaches in AUC is no ranking: it tells apart users, not items.
    Arguments are those of `Popularity`; batches need keys.
    """

    @property
    def levels(self) -> tuple[str, ...]:
        """The user alone."""
        return ("user_id",)


class LastCategory(Baseline):
    """Scores a candidate by how much of it the latest events share.

    Every event of every behaviour that has the candidate's item, category,
    brand or shop counts one for each, divided by its place: the newest
    counts 1, the next 1/2, then 1/3. Nothing is learned.
    """

    def fit(
        self, batches: Iterable[Batch], validation: Iterable[Batch] = ()
    ) -> "LastCategory":
        """Learns nothing; see the base class."""
        del batches, validation
        return self

    def score(self, batch: Batch) -> dict[str, np.ndarray]:
        """Sums matches by recency; see the base class."""
        batch = to_numpy(batch)
        score = np.zeros(batch["item_id"].shape, np.float32)
        for behavior in self.schema.behaviors:
            recency = newest_first(batch, behavior)
            for column in self.schema.item_id_columns:
                matches = match_events(batch, behavior, column.name)
                score += np.einsum("bnl,bl->bn", matches, recency)
        return {"score": score}
