"""Counts of values among the last places, for quotas."""

import collections
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jd_tf.pipeline.reranking.rerank_config import Quota


class _Rule(NamedTuple):
    quota: Quota
    codes: np.ndarray  # (N,) number of each item's value
    counts: np.ndarray  # of values among the last places
    last: collections.deque[int]  # Codes shown there


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
        self._rules: list[_Rule] = []
        self._count = count
        for quota in quotas:
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
            counts = np.zeros(len(values) + 1, np.int64)
            rule = _Rule(quota, codes, counts, collections.deque())
            self._rules.append(rule)

    def excess(self) -> np.ndarray:
        """Returns (N,) items by which each would break rules, 0 where none."""
        total = np.zeros(self._count, np.int64)
        for quota, codes, counts, _ in self._rules:
            beyond = np.maximum(counts + 1 - quota.most, 0)
            beyond[-1] = 0
            total += beyond[codes]
        return total

    def forbidding(self, item: int) -> str:
        """Returns the column of the first rule that forbids an item, or ""."""
        for quota, codes, counts, _ in self._rules:
            code = codes[item]
            if code < len(counts) - 1 and counts[code] >= quota.most:
                return quota.column
        return ""

    def add(self, item: int) -> None:
        """Shows an item at the next place."""
        for quota, codes, counts, last in self._rules:
            counts[codes[item]] += 1
            last.append(int(codes[item]))
            # The next place makes the window full.
            if quota.window and len(last) >= quota.window:
                counts[last.popleft()] -= 1
