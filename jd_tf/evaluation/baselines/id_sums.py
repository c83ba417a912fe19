"""Sums of rows by id, for streams of any length."""

import numpy as np

_WAITING_ROWS = 100_000


class IdSums:
    """Adds rows up by id; memory follows the ids, not the rows.

    Args:
        width: numbers in a row, W.
    """

    def __init__(self, width: int):
        self.width = width
        self._ids: np.ndarray | None = None
        self._sums = np.zeros((0, width))
        self._waiting: list[tuple[np.ndarray, np.ndarray]] = []
        self._num_waiting = 0

    def add(self, ids: np.ndarray, rows: np.ndarray) -> None:
        """Adds rows [M, W] to the sums of ids [M]."""
        if not len(ids):
            return
        self._waiting.append((ids, rows))
        self._num_waiting += len(ids)
        # Waiting for as many rows as there are sums keeps the cost of
        # sorting proportional to what was added.
        if self._num_waiting > max(_WAITING_ROWS, len(self._sums)):
            self._settle()

    def merge(self, other: "IdSums") -> None:
        """Adds another's sums."""
        other._settle()
        if other._ids is not None:
            self.add(other._ids, other._sums)

    def find(self, ids: np.ndarray) -> np.ndarray:
        """[..., W] sums of ids [...]; 0 for those never added."""
        self._settle()
        if self._ids is None:
            return np.zeros((*ids.shape, self.width))
        place = np.searchsorted(self._ids, ids)
        place = np.minimum(place, len(self._ids) - 1)
        found = self._sums[place]
        found[self._ids[place] != ids] = 0.0
        return found

    def top(self, count: int) -> np.ndarray:
        """Ids of the largest first numbers, ascending; `count` at most."""
        self._settle()
        if self._ids is None:
            return np.zeros(0, np.int64)
        # Stable, so that equals are kept by id and not by chance.
        largest = np.argsort(-self._sums[:, 0], kind="stable")[:count]
        return np.sort(self._ids[largest])

    def _settle(self) -> None:
        if not self._waiting:
            return
        parts = self._waiting
        if self._ids is not None:
            parts = [(self._ids, self._sums), *parts]
        ids = np.concatenate([ids for ids, _ in parts])
        rows = np.concatenate([rows for _, rows in parts])
        self._ids, place = np.unique(ids, return_inverse=True)
        size = len(self._ids)
        columns = [np.bincount(place, c, minlength=size) for c in rows.T]
        self._sums = np.stack(columns, axis=1)
        self._waiting, self._num_waiting = [], 0
