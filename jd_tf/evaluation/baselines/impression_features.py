"""Rows that trees learn from: the features of every training impression."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from jd_tf.data.item_pairs.item_pairs import ItemPairs
from jd_tf.data.item_pairs.pair_features import pair_features
from jd_tf.evaluation.baselines.features import (
    Arrays,
    Categories,
    dense_features,
    history_features,
)
from jd_tf.evaluation.baselines.rates import RateTable, rate_levels, real_rows
from jd_tf.evaluation.collect import to_numpy
from jd_tf.metrics.cells import real_cells
from jd_tf.schema import Schema

_SEED = 0
_NUM_PARTS = 10
_TRUTH = ("labels", "label_weights")

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
        pairs: of items; with them, what `jd_tf.layers.PairMatch` gives.

    Attributes:
        num_impressions: of the training split; those learned from are
            `num_learned`.
    """

    def __init__(
        self,
        schema: Schema,
        max_impressions: int = 0,
        pairs: ItemPairs | None = None,
    ):
        if max_impressions < 0:
            raise ValueError(
                "`max_impressions` must not be negative. "
                f"Got: {max_impressions}."
            )
        self.schema = schema
        self.max_impressions = max_impressions
        self.pairs = pairs
        self.num_impressions = self.num_learned = 0
        self._id_names = [column.name for column in schema.single_id_columns]
        self._tables = self._new_tables()
        self._fitted: tuple[Any, Rows] | None = None
        self._latest: tuple[Any, np.ndarray] | None = None

    def fit(self, batches: Iterable[Batch]) -> Rows:
        """Learns rates in one pass, makes the features of rows in another.

        Batches that it has just learned from are not read again.

        Raises:
            ValueError: where the second pass differs from the first.
        """
        if self._fitted is not None and self._fitted[0] is batches:
            return self._fitted[1]
        self._latest = None
        requests, columns = self._read(batches)
        size, learned = requests["num_candidates"], self._draw(requests)
        rates = self._past_rates(columns, np.repeat(_parts(requests), size))
        rows = np.repeat(learned, size)
        self.num_impressions, self.num_learned = len(rows), int(rows.sum())
        rates, parts, start, row = rates[rows], [], 0, 0
        for raw in batches:
            batch = to_numpy(raw)
            if self.pairs is not None:
                batch = to_numpy(self.pairs.parts.mark(batch, self.schema))
            here = slice(start, start + len(batch["num_candidates"]))
            start = here.stop
            if not np.array_equal(size[here], batch["num_candidates"]):
                raise ValueError(
                    "the batches changed between two passes: pass a list, or "
                    "a data set without a generator or reshuffling in it."
                )
            fixed = self._fixed({n: c[learned[here]] for n, c in batch.items()})
            parts.append(np.hstack([fixed, rates[row : row + len(fixed)]]))
            row += len(fixed)
        if start != len(size):
            raise ValueError(f"{len(size)} requests, then {start}.")
        labels, weights = (columns[name][rows] for name in _TRUTH)
        found = Rows(np.concatenate(parts), labels, weights, size[learned])
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
            labels, weights = real_rows(batch, _TRUTH).values()
            features, size = self.transform(batch), batch["num_candidates"]
            parts.append(Rows(features, labels, weights, size))
        return Rows(*map(np.concatenate, zip(*parts, strict=True)))

    def transform(self, batch: Arrays) -> np.ndarray:
        """[M, K] features of the real impressions of a batch."""
        # Several systems score the same batch.
        key = batch["item_id"]
        if self._latest is None or self._latest[0] is not key:
            rates = self._rates(real_rows(batch, self._id_names))
            self._latest = (key, np.hstack([self._fixed(batch), rates]))
        return self._latest[1]

    def means(self) -> np.ndarray:
        """[T] rate of each objective in the training split."""
        return self._tables[0].mean()

    def padded(self, batch: Arrays, found: np.ndarray) -> np.ndarray:
        """[B, N, ...] of values [M, ...] of the real impressions; else 0."""
        whole = np.zeros((*batch["item_id"].shape, *found.shape[1:]), "f4")
        whole[_real(batch)] = found
        return whole

    def _read(self, batches: Iterable[Batch]) -> tuple[Arrays, Arrays]:
        """Columns of all R requests, and of all M impressions."""
        self._categories = Categories(self.schema)
        requests, rows = [], []
        for raw in batches:
            batch = to_numpy(raw)
            self._categories.add(batch)
            size = batch["num_candidates"]
            user = batch.get("user_id", np.zeros_like(size))
            requests.append((size, batch["request_time"], user))
            rows.append(real_rows(batch, (*self._id_names, *_TRUTH)))
        if not rows:
            raise ValueError("there are no batches to learn from.")
        self._categories.settle()
        joined = map(np.concatenate, zip(*requests, strict=True))
        names = ("num_candidates", "request_time", "user_id")
        return dict(zip(names, joined, strict=True)), {
            name: np.concatenate([row[name] for row in rows])
            for name in rows[0]
        }

    def _draw(self, requests: Arrays) -> np.ndarray:
        """[R] bool, which requests are learned from."""
        size = requests["num_candidates"]
        share = self.max_impressions / max(size.sum(), 1)
        lots = np.random.default_rng(_SEED).random(len(size))
        return (lots < share) | (not self.max_impressions)

    def _past_rates(
        self, columns: Arrays, part_of_row: np.ndarray
    ) -> np.ndarray:
        """[M, K] rates of the parts before each row's, nan in the first."""
        self._tables = self._new_tables()
        places = [np.flatnonzero(part_of_row == p) for p in range(_NUM_PARTS)]
        found: list[np.ndarray] = []
        for mine in places:
            rows = {name: column[mine] for name, column in columns.items()}
            rates = self._rates(rows)
            found.append(rates if found else np.full_like(rates, np.nan))
            for table in self._tables:
                table.add(rows)
        return np.concatenate(found)[np.argsort(np.concatenate(places))]

    def _new_tables(self) -> list[RateTable]:
        chain = rate_levels(self.schema)
        alone = [(n,) for n in self._id_names if n not in chain]
        size = len(self.schema.objectives)
        return [RateTable(c, size) for c in (chain, *alone)]

    def _rates(self, ids: Arrays) -> np.ndarray:
        """[M, K]: every level's rates and how often the id was shown."""
        parts = []
        for table in self._tables:
            for name, rates in table.rates(ids).items():
                shown = np.log1p(table.shown(name, ids[name])[:, :1])
                parts += [rates, shown]
        return np.hstack(parts).astype(np.float32)

    def _fixed(self, batch: Arrays) -> np.ndarray:
        """[M, K] features that depend on no label, categories first."""
        parts = [
            self._categories.encode(batch),
            dense_features(batch, self.schema),
            history_features(batch, self.schema)[0],
        ]
        if self.pairs is not None:
            parts.append(pair_features(batch, self.pairs, self.schema))
        return np.concatenate(parts, axis=2)[_real(batch)]


def _real(batch: Arrays) -> np.ndarray:
    return real_cells(batch["num_candidates"], batch["item_id"].shape[1])


def _parts(requests: Arrays) -> np.ndarray:
    """[R] part of each request, of about as many requests each.

    Of one time, a user's requests stay together: they share outcomes, and
    files hold every n-th of them.
    """
    first, user = np.unique(
        requests["user_id"], return_index=True, return_inverse=True
    )[1:]
    order = np.lexsort((first[user], requests["request_time"]))
    part = np.empty(len(order), np.int64)
    part[order] = np.arange(len(order)) * _NUM_PARTS // max(len(order), 1)
    return part
