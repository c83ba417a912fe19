"""Baselines without a model: rates, and what a user touched last."""

import abc
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from jd_tf.evaluation.baselines.features import match_events, newest_first
from jd_tf.evaluation.baselines.rates import RateTable, rate_levels
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
        """Returns `probabilities` [B, N, T] or `score` [B, N], float32.

        Higher is better; what stands beyond `num_candidates` is meaningless.
        """


class Popularity(Baseline):
    """Scores a candidate by its rate of each outcome in the training split.

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

    def fit(
        self, batches: Iterable[Batch], validation: Iterable[Batch] = ()
    ) -> "Popularity":
        """Counts impressions and outcomes; see the base class."""
        del validation
        self.table = RateTable(
            rate_levels(self.schema), len(self.schema.objectives), self.strength
        )
        for batch in batches:
            self.table.add(to_numpy(batch))
        return self

    def score(self, batch: Batch) -> dict[str, np.ndarray]:
        """Smoothed rates of the candidates; see the base class."""
        if self.table is None:
            raise ValueError("fit the popularity baseline before scoring.")
        ids = {name: np.asarray(batch[name]) for name in self.table.levels}
        return {"probabilities": self.table.rates(ids)["item_id"]}


class UserMean(Baseline):
    """Scores all candidates alike: the user's rate of each outcome.

    What it reaches in AUC is no ranking: it tells apart users, not items.
    Arguments are those of `Popularity`.
    """

    def __init__(self, schema: Schema, strength: float = 20.0):
        super().__init__(schema)
        self.table = RateTable(("user_id",), len(schema.objectives), strength)

    def fit(
        self, batches: Iterable[Batch], validation: Iterable[Batch] = ()
    ) -> "UserMean":
        """Counts impressions and outcomes by user; see the base class."""
        del validation
        for batch in batches:
            self.table.add(_with_users(to_numpy(batch)))
        return self

    def score(self, batch: Batch) -> dict[str, np.ndarray]:
        """Smoothed rates of the users; see the base class."""
        rates = self.table.rates(_with_users(to_numpy(batch)))
        return {"probabilities": rates["user_id"]}


def _with_users(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The batch with the user of each candidate."""
    if "user_id" not in batch:
        raise ValueError("users are not known: read the batches with keys.")
    shape = batch["item_id"].shape
    users = np.broadcast_to(batch["user_id"][:, None], shape)
    return {**batch, "user_id": users}


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
