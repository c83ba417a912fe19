"""Lists of items, one a request: what stages of the pipeline pass on."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class ItemLists:
    """Items for each of B requests, best first.

    Attributes:
        item_id: (B, K) int64 or object (bytes), raw ids; 0 or b"" beyond
            `length`. No item stands twice in a list.
        score: (B, K) float32, descending; -inf beyond `length`.
        length: (B,) int32, items of each list, at most K.
    """

    item_id: np.ndarray
    score: np.ndarray
    length: np.ndarray

    def __len__(self) -> int:
        return len(self.item_id)

    @property
    def present(self) -> np.ndarray:
        """(B, K) bool, entries that are items."""
        return np.arange(self.item_id.shape[1]) < self.length[:, None]

    def some(self, rows: Any) -> "ItemLists":
        """Returns the lists of some requests: a slice, or their numbers."""
        return ItemLists(
            self.item_id[rows], self.score[rows], self.length[rows]
        )

    @classmethod
    def joined(cls, parts: Iterable["ItemLists"]) -> "ItemLists":
        """Returns the lists of several batches, at least one, as one."""
        parts = list(parts)
        return cls(
            stack_rows([part.item_id for part in parts]),
            stack_rows([part.score for part in parts], -np.inf),
            np.concatenate([part.length for part in parts]),
        )

    @classmethod
    def best(
        cls, item_id: np.ndarray, score: np.ndarray, count: int
    ) -> "ItemLists":
        """Returns the `count` best of scored items.

        Args:
            item_id: (I,) or (B, I) ids, none twice in a row.
            score: (B, I); items of -inf or NaN are left out. Equal scores keep
                the order of the ids given.
            count: K.
        """
        score = np.where(np.isnan(score), -np.inf, score).astype(np.float32)
        count = min(count, score.shape[1])
        if count < score.shape[1]:
            # All that reach the K-th best score, so that ties are stable.
            least = -np.partition(-score, count - 1, axis=1)[:, count - 1]
            order = np.empty((len(score), count), np.int64)
            for row, bound in enumerate(least):
                chosen = np.flatnonzero(score[row] >= bound)
                sort = np.argsort(-score[row, chosen], kind="stable")
                order[row] = chosen[sort[:count]]
        else:
            order = np.argsort(-score, axis=1, kind="stable")
        best = np.take_along_axis(score, order, axis=1)
        if item_id.ndim == 1:
            found = item_id[order]
        else:
            found = np.take_along_axis(item_id, order, axis=1)
        length = np.isfinite(best).sum(axis=1).astype(np.int32)
        beyond = np.arange(count) >= length[:, None]
        empty = b"" if item_id.dtype == object else 0
        return cls(np.where(beyond, empty, found), best, length)


def stack_rows(parts: Sequence[np.ndarray], fill: float = 0) -> np.ndarray:
    """Returns the rows of all parts; the second axis is as long as the longest.

    It is filled up with `fill`, texts with b"".
    """
    if parts[0].ndim == 1:
        return np.concatenate(parts)
    width = max(part.shape[1] for part in parts)
    whole = np.full(
        (sum(map(len, parts)), width, *parts[0].shape[2:]),
        b"" if parts[0].dtype == object else fill,
        parts[0].dtype,
    )
    start = 0
    for part in parts:
        whole[start : start + len(part), : part.shape[1]] = part
        start += len(part)
    return whole
