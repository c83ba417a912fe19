"""Counts of values among the last places, for quotas."""

import collections
from collections.abc import Mapping, Sequence

import numpy as np

from jd_tf.pipeline.reranking.rerank_config import Quota


class WindowQuotas:
    """Tells which items may stand at the next place.

    Args:
        quotas: the rules.
        columns: column of each rule -> (N,) ids; 0 and empty text are not
            limited.
        count: N.

    Raises:
        ValueError: if a column is missing or of another length.
    """

    def __init__(
        self,
        quotas: Sequence[Quota],
        columns: Mapping[str, np.ndarray],
        count: int,
    ):
        self._quotas, self._count = tuple(quotas), count
        self._codes: list[np.ndarray] = []
        self._counts: list[np.ndarray] = []
        self._last: list[collections.deque[int]] = []
        for quota in self._quotas:
            ids = columns.get(quota.column)
            if ids is None or ids.shape != (count,):
                raise ValueError(
                    f"quota of `{quota.column}` needs ({count},) ids. Got: "
                    f"{None if ids is None else ids.shape}."
                )
            values, codes = np.unique(ids, return_inverse=True)
            empty = b"" if ids.dtype == object else 0
            # What has no value counts in a bin of its own, never full.
            codes = np.where(ids == empty, len(values), codes)
            self._codes.append(codes)
            self._counts.append(np.zeros(len(values) + 1, np.int64))
            self._last.append(collections.deque())

    def excess(self) -> np.ndarray:
        """Returns (N,) items by which each would break rules, 0 where none."""
        total = np.zeros(self._count, np.int64)
        for quota, codes, counts in zip(
            self._quotas, self._codes, self._counts, strict=True
        ):
            beyond = np.maximum(counts + 1 - quota.most, 0)
            beyond[-1] = 0
            total += beyond[codes]
        return total

    def forbidding(self, item: int) -> str:
        """Returns the column of the first rule that forbids an item, or ""."""
        for quota, codes, counts in zip(
            self._quotas, self._codes, self._counts, strict=True
        ):
            code = codes[item]
            if code < len(counts) - 1 and counts[code] >= quota.most:
                return quota.column
        return ""

    def add(self, item: int) -> None:
        """Shows an item at the next place."""
        for quota, codes, counts, last in zip(
            self._quotas, self._codes, self._counts, self._last, strict=True
        ):
            counts[codes[item]] += 1
            last.append(int(codes[item]))
            # The next place makes the window full.
            if quota.window and len(last) >= quota.window:
                counts[last.popleft()] -= 1
