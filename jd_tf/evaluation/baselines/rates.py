"""Smoothed rates of positives by id, and sums by id."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from jd_tf.metrics.cells import real_cells
from jd_tf.schema import Schema

_WAITING_ROWS = 100_000

Arrays = Mapping[str, np.ndarray]


class IdSums:
    """Adds rows of `width` numbers by id; memory follows the ids."""

    def __init__(self, width: int):
        self._sums = pd.DataFrame(np.zeros((0, width)))
        self._waiting: list[pd.DataFrame] = []
        self._num_waiting = 0

    def add(self, ids: np.ndarray, rows: np.ndarray) -> None:
        """Adds rows [M, W] to the sums of ids [M]."""
        self._waiting.append(pd.DataFrame(rows, ids, dtype=np.float64))
        self._num_waiting += len(ids)
        # Waiting for as many rows as there are sums keeps the cost of
        # grouping proportional to what was added.
        if self._num_waiting > max(_WAITING_ROWS, len(self._sums)):
            self._settle()

    def find(self, ids: np.ndarray) -> np.ndarray:
        """[..., W] sums of ids [...]; 0 for those never added."""
        found = self._settle().reindex(ids.ravel(), fill_value=0.0)
        return found.to_numpy().reshape(*ids.shape, found.shape[1])

    def top(self, count: int) -> np.ndarray:
        """Ids of the largest first numbers, ascending; `count` at most."""
        # Stable, so that equals are kept by id and not by chance.
        first = self._settle()[0].sort_values(ascending=False, kind="stable")
        return np.sort(first.index[:count].to_numpy())

    def _settle(self) -> pd.DataFrame:
        known = [part for part in (self._sums, *self._waiting) if len(part)]
        if self._num_waiting:
            self._sums = pd.concat(known).groupby(level=0).sum()
        self._waiting, self._num_waiting = [], 0
        return self._sums


class RateTable:
    """Rates of each objective by id, smoothed towards the level above.

    An id counts as if shown `strength` more times at the rate of the level
    above it (`levels` are widest first); the first is drawn to the mean.
    """

    def __init__(
        self, levels: Sequence[str], num_objectives: int, strength: float = 20.0
    ):
        if strength <= 0:
            raise ValueError(f"`strength` must be positive. Got: {strength}.")
        self.levels = tuple(levels)
        self.columns = (*self.levels, "labels", "label_weights")
        self.num_objectives = num_objectives
        self.strength = strength
        self._total = np.zeros(2 * num_objectives)
        self._sums = {name: IdSums(2 * num_objectives) for name in levels}

    def add(self, rows: Arrays) -> None:
        """Counts impressions: ids, `labels` and `label_weights` as [M, ...]."""
        labels, weights = rows["labels"], rows["label_weights"]
        counts = np.concatenate([labels * weights, weights], axis=1)
        for name in self.levels:
            self._sums[name].add(rows[name], counts)
        self._total += counts.sum(axis=0, dtype=np.float64)

    def shown(self, name: str, ids: np.ndarray) -> np.ndarray:
        """[..., T] weight of the impressions of ids [...]; 0 if new."""
        return self._sums[name].find(ids)[..., self.num_objectives :]

    def mean(self) -> np.ndarray:
        """[T] rate of each objective over all impressions; 0 without any."""
        half = self.num_objectives
        shown = self._total[half:]
        return self._total[:half] / np.where(shown > 0, shown, 1.0)

    def rates(self, ids: Arrays) -> dict[str, np.ndarray]:
        """Smoothed rates [..., T] of ids [...] on every level."""
        half = self.num_objectives
        above = self.mean()
        found = {}
        for name in self.levels:
            sums = self._sums[name].find(ids[name])
            positives, shown = sums[..., :half], sums[..., half:]
            above = positives + self.strength * above
            above = above / (shown + self.strength)
            found[name] = above.astype(np.float32)
        return found


def real_rows(batch: Arrays, names: Sequence[str]) -> dict[str, np.ndarray]:
    """[M, ...] columns of the real impressions; a request's are repeated."""
    count = batch["num_candidates"]
    real = real_cells(count, batch["item_id"].shape[1])
    if "user_id" in names and "user_id" not in batch:
        raise ValueError("users are not known: read the batches with keys.")
    columns = {name: batch[name] for name in names}
    return {
        name: np.repeat(column, count) if column.ndim == 1 else column[real]
        for name, column in columns.items()
    }


def rate_levels(schema: Schema) -> tuple[str, ...]:
    """The chain of id columns from wide to narrow: category, then item."""
    names = [column.name for column in schema.single_id_columns]
    if "category_id" in names:
        return ("category_id", "item_id")
    return (*names[1:2], "item_id")
