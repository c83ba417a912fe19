"""Rows that trees learn from: the features of every training impression."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from jd_tf.evaluation.baselines.features import (
    Arrays,
    Categories,
    dense_features,
    history_features,
)
from jd_tf.evaluation.baselines.rates import RateTable, rate_levels
from jd_tf.evaluation.collect import to_numpy
from jd_tf.metrics.cells import real_cells
from jd_tf.schema import Schema

_SEED = 0
_NUM_PARTS = 10

Batch = Mapping[str, Any]


class Rows(NamedTuple):
    """M impressions of R requests, one request after the other."""

    features: np.ndarray  # [M, K] float32, nan where unknown
    labels: np.ndarray  # [M, T]
    weights: np.ndarray  # [M, T]
    sizes: np.ndarray  # [R] int, impressions of each request


class ImpressionFeatures:
    """Hand-made features, and the rates of ids out of time.

    Features: what candidates share with the histories, the histories summed
    up, dense and categorical columns, and how often the item and its
    category, brand or shop were chosen. Those rates come from requests
    *before* the one at hand: the training split is cut into ten parts (by
    time, or user by user where there is no clock), and the rows of a part get
    the rates of the parts before it, nan in the first. A rate that contains
    the row's own label, even with that label taken out again, gives the label
    away. Other splits get the rates of the whole training split.

    Memory: 4 bytes a feature and row, and the ids of each.

    Args:
        schema: of the batches.
        max_impressions: learned from at most, whole requests being drawn; 0
            for all.

    Attributes:
        num_impressions: of the training split; those learned from are
            `num_learned`.
    """

    def __init__(self, schema: Schema, max_impressions: int = 0):
        if max_impressions < 0:
            raise ValueError(
                "`max_impressions` must not be negative. "
                f"Got: {max_impressions}."
            )
        self.schema = schema
        self.max_impressions = max_impressions
        self.num_impressions = self.num_learned = 0
        self._id_names = [column.name for column in schema.single_id_columns]
        self._tables: list[RateTable] = []
        self._fitted: tuple[Any, Rows] | None = None
        self._latest: tuple[Any, np.ndarray] | None = None

    def fit(self, batches: Iterable[Batch]) -> Rows:
        """Orders requests in one pass, takes their rows in another.

        Batches that it has just learned from are not read again.

        Raises:
            ValueError: where the second pass differs from the first.
        """
        if self._fitted is not None and self._fitted[0] is batches:
            return self._fitted[1]
        self._latest = None
        sizes, parts, drawn = self._plan(batches)
        tables = [self._new_tables() for _ in range(_NUM_PARTS)]
        self.num_impressions = int(sizes.sum())
        self.num_learned = int(sizes[drawn].sum())
        found: Rows | None = None
        ids: dict[str, list[np.ndarray]] = {n: [] for n in self._id_names}
        start = row = 0
        for raw in batches:
            batch = to_numpy(raw)
            here = slice(start, start + len(batch["num_candidates"]))
            start = here.stop
            if not np.array_equal(sizes[here], batch["num_candidates"]):
                raise ValueError(
                    "the batches changed between two passes: pass a list, or "
                    "a data set without a generator or reshuffling in it."
                )
            for part in np.unique(parts[here]):
                members = _select(batch, parts[here] == part)
                for table in tables[part]:
                    table.add(members)
            batch = _select(batch, drawn[here])
            real = _real(batch)
            fixed = self._fixed(batch)[real]
            if found is None:
                found = self._empty(fixed.shape[1], sizes[drawn])
            rows = slice(row, row + len(fixed))
            row = rows.stop
            found.features[rows, : fixed.shape[1]] = fixed
            found.labels[rows] = batch["labels"][real]
            found.weights[rows] = batch["label_weights"][real]
            for name, parts_of_ids in ids.items():
                parts_of_ids.append(batch[name][real])
        if start != len(sizes) or found is None:
            raise ValueError(f"{len(sizes)} requests, then {start}.")
        part_of_row = np.repeat(parts[drawn], sizes[drawn])
        whole = {name: np.concatenate(part) for name, part in ids.items()}
        self._add_rates(found.features, whole, part_of_row, tables)
        self._fitted = (batches, found)
        return found

    def forget(self) -> None:
        """Lets go of the rows that `fit` returned."""
        self._fitted = None

    def rows(self, batches: Iterable[Batch]) -> Rows:
        """Rows of a later split with labels."""
        parts = []
        for raw in batches:
            batch = to_numpy(raw)
            labels, weights = (
                batch[name][_real(batch)]
                for name in ("labels", "label_weights")
            )
            features = self.transform(batch)
            parts.append((features, labels, weights, batch["num_candidates"]))
        if not parts:
            nothing = np.zeros((0, len(self.schema.objectives)), np.float32)
            return Rows(nothing, nothing, nothing, np.zeros(0, np.int64))
        return Rows(*map(np.concatenate, zip(*parts, strict=True)))

    def transform(self, batch: Arrays) -> np.ndarray:
        """[M, K] features of the real impressions of a batch."""
        # Several systems score the same batch.
        key = batch["item_id"]
        if self._latest is None or self._latest[0] is not key:
            real = _real(batch)
            ids = {name: batch[name][real] for name in self._id_names}
            rates = _rates(self._known_tables(), ids)
            features = np.hstack([self._fixed(batch)[real], rates])
            self._latest = (key, features)
        return self._latest[1]

    def means(self) -> np.ndarray:
        """[T] rate of each objective in the training split."""
        return self._known_tables()[0].mean()

    def _known_tables(self) -> list[RateTable]:
        if not self._tables:
            raise ValueError("fit the baseline before scoring.")
        return self._tables

    def padded(self, batch: Arrays, found: np.ndarray) -> np.ndarray:
        """[B, N, ...] of values [M, ...] of the real impressions; else 0."""
        whole = np.zeros((*batch["item_id"].shape, *found.shape[1:]), "f4")
        whole[_real(batch)] = found
        return whole

    def _new_tables(self) -> list[RateTable]:
        chain = rate_levels(self.schema)
        alone = [(n,) for n in self._id_names if n not in chain]
        size = len(self.schema.objectives)
        return [RateTable(c, size) for c in (chain, *alone)]

    def _plan(
        self, batches: Iterable[Batch]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Candidates, part and whether it is learned from, per request."""
        sizes, times, users = [], [], []
        self._categories = Categories(self.schema)
        for raw in batches:
            batch = to_numpy(raw)
            self._categories.add(batch)
            sizes.append(batch["num_candidates"])
            nothing = np.zeros_like(sizes[-1])
            times.append(batch.get("request_time", nothing))
            users.append(batch.get("user_id", nothing))
        if not sizes:
            raise ValueError("there are no batches to learn from.")
        self._categories.settle()
        size, time = np.concatenate(sizes), np.concatenate(times)
        # Of one time, a user's requests stay together: they share outcomes,
        # and files hold every n-th of them.
        first, user = np.unique(
            np.concatenate(users), return_index=True, return_inverse=True
        )[1:]
        rank = np.empty(len(time), np.int64)
        rank[np.lexsort((first[user], time))] = np.arange(len(time))
        part = rank * _NUM_PARTS // max(len(time), 1)
        share = self.max_impressions / max(size.sum(), 1)
        lots = np.random.default_rng(_SEED).random(len(part))
        return size, part, (lots < share) | (not self.max_impressions)

    def _empty(self, num_fixed: int, sizes: np.ndarray) -> Rows:
        count, num_objectives = int(sizes.sum()), len(self.schema.objectives)
        # One array filled in place: parts joined at the end need it twice.
        width = num_fixed + sum(
            len(table.levels) * (num_objectives + 1)
            for table in self._new_tables()
        )
        labels = np.empty((count, num_objectives), np.float32)
        features = np.empty((count, width), np.float32)
        return Rows(features, labels, np.empty_like(labels), sizes)

    def _fixed(self, batch: Arrays) -> np.ndarray:
        """[B, N, K] features that depend on no label, categories first."""
        parts = (
            self._categories.encode(batch),
            dense_features(batch, self.schema),
            history_features(batch, self.schema)[0],
        )
        return np.concatenate(parts, axis=2)

    def _add_rates(
        self,
        features: np.ndarray,
        ids: dict[str, np.ndarray],
        part_of_row: np.ndarray,
        tables: list[list[RateTable]],
    ) -> None:
        """Takes the parts one by one, each with the rates before it."""
        self._tables = self._new_tables()
        for part, counted in enumerate(tables):
            mine = np.flatnonzero(part_of_row == part)
            if len(mine):
                own = {name: values[mine] for name, values in ids.items()}
                rates = _rates(self._tables, own)
                if not part:
                    rates[:] = np.nan
                features[mine, -rates.shape[1] :] = rates
            for table, more in zip(self._tables, counted, strict=True):
                table.merge(more)


def _real(batch: Arrays) -> np.ndarray:
    return real_cells(batch["num_candidates"], batch["item_id"].shape[1])


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
