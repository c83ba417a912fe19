"""Merges the lists of recall channels into one."""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from jd_tf.pipeline.item_lists import ItemLists
from jd_tf.pipeline.recall.pooling import Pool
from jd_tf.pipeline.recall.scoring import find_ids


@dataclasses.dataclass(frozen=True)
class Merged:
    """Items of all channels, and who brought them.

    Attributes:
        items: B lists of at most K items.
        channels: C names.
        ranks: (B, K, C) int32, place of the item in the list of the channel,
            from 1; 0 where it did not bring it.
        removed: filter -> (B,) int32, items it took out; of those that several
            would take the first of the filters has them.
    """

    items: ItemLists
    channels: tuple[str, ...]
    ranks: np.ndarray
    removed: Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Merge:
    """Blends lists by rank or score, with places kept for channels.

    An item scores the sum, over the channels that brought it, of their weight
    times 1 / (rank_offset + rank), or times the channel's score, scaled to 1
    for its best and 0 for its last item in the list. Of each channel its first
    items, as many as its quota, are in whatever they score; an item of two
    channels counts for both. How many items a channel brings at most is the
    length of its list.

    Args:
        weights: channel -> weight >= 0; 1 for those not named. A channel of 0
            brings nothing but its quota.
        quotas: channel -> items that are in, 0 for those not named.
        rank_offset: above -1; larger: ranks matter less, agreement more.
        by: "rank" or "score".

    Raises:
        ValueError: for a value out of range.

    References:
        Gordon Cormack, Charles Clarke and Stefan Büttcher, "Reciprocal Rank
        Fusion outperforms Condorcet and Individual Rank Learning Methods",
        SIGIR 2009. Joseph Shaw and Edward Fox, "Combination of Multiple
        Searches", TREC-2, 1994 (the sum of scores).

    Example:
        >>> one, two = (
        ...     ItemLists.best(np.array([7, 9]), np.array([scores]), 2)
        ...     for scores in ([3.0, 1.0], [0.0, 5.0])
        ... )
        >>> merged = Merge(weights={"two": 2.0})({"one": one, "two": two}, 1)
        >>> merged.items.item_id.tolist(), merged.ranks.tolist()
        ([[9]], [[[2, 1]]])
    """

    weights: Mapping[str, float] = dataclasses.field(default_factory=dict)
    quotas: Mapping[str, int] = dataclasses.field(default_factory=dict)
    rank_offset: float = 10.0
    by: str = "rank"

    def __post_init__(self) -> None:
        if self.by not in ("rank", "score"):
            raise ValueError(f'`by` must be "rank" or "score": {self.by!r}.')
        if self.rank_offset <= -1:
            raise ValueError(f"`rank_offset` must be > -1: {self.rank_offset}.")
        for name, values in (
            ("weights", self.weights),
            ("quotas", self.quotas),
        ):
            if any(not 0 <= value < np.inf for value in values.values()):
                raise ValueError(f"`{name}` must be >= 0: {dict(values)}.")

    def blend(self) -> dict[str, Any]:
        """Returns `weights`, `by` and `rank_offset`, for JSON."""
        named = {"weights": dict(self.weights), "by": self.by}
        return {**named, "rank_offset": self.rank_offset}

    def check(self, channels: Collection[str], count: int) -> None:
        """Raises a ValueError where channels or places are too few."""
        for name in (*self.weights, *self.quotas):
            if name not in channels:
                raise ValueError(
                    f"no channel `{name}` to merge, only {', '.join(channels)}."
                )
        if sum(self.quotas.values()) > count:
            raise ValueError(
                f"quotas keep {sum(self.quotas.values())} places of {count}: "
                f"{dict(self.quotas)}."
            )

    def __call__(
        self,
        lists: Mapping[str, ItemLists],
        count: int,
        filters: Mapping[str, np.ndarray] | None = None,
    ) -> Merged:
        """Returns at most `count` items of each request, each once.

        Args:
            lists: channel -> its items for the same B requests.
            count: K.
            filters: name -> ids that do not pass: (B, X) of each request
                (bought, seen), or (Z,) for all (blocked, out of stock).

        Raises:
            ValueError: if quotas or weights name an unknown channel, or there
                are more places kept than `count`.
        """
        self.check(lists, count)
        return self.of_pool(Pool.of(lists), count, filters)

    def of_pool(
        self,
        pool: Pool,
        count: int,
        filters: Mapping[str, np.ndarray] | None = None,
    ) -> Merged:
        """Returns what a call returns, of lists that are pooled already."""
        passes, removed = _filtered(pool, filters or {})
        weights = np.array([self.weights.get(n, 1.0) for n in pool.channels])
        kept = np.zeros(passes.shape, bool)
        brought = np.zeros(passes.shape, bool)
        for channel, name in enumerate(pool.channels):
            ranks = pool.ranks[..., channel]
            if quota := self.quotas.get(name, 0):
                kept |= _first(ranks, passes, quota)
            if weights[channel]:
                brought |= ranks > 0
        score = pool.values(self.by, self.rank_offset) @ weights
        score = np.where(passes & (brought | kept), score, -np.inf)
        # What has a place comes first, then all are in order of their scores.
        chosen = np.lexsort((-score, ~kept), axis=1)[:, :count]
        again = -np.take_along_axis(score, chosen, axis=1)
        chosen = np.take_along_axis(
            chosen, np.argsort(again, axis=1, kind="stable"), axis=1
        )
        score = np.take_along_axis(score, chosen, axis=1).astype(np.float32)
        length = np.isfinite(score).sum(axis=1).astype(np.int32)
        present = np.arange(chosen.shape[1]) < length[:, None]
        found = np.take_along_axis(pool.item_id, chosen, axis=1)
        empty = b"" if found.dtype == object else 0
        ranks = np.take_along_axis(pool.ranks, chosen[..., None], axis=1)
        return Merged(
            ItemLists(np.where(present, found, empty), score, length),
            pool.channels,
            np.where(present[..., None], ranks, 0),
            removed,
        )


def _filtered(
    pool: Pool, filters: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Returns (B, G) bool of what passes, and how many did not."""
    passes, removed = pool.present.copy(), {}
    for name, ids in filters.items():
        code = find_ids(pool.known, ids)
        if ids.ndim == 1:
            hit = np.isin(pool.code, code)
        else:
            width = len(pool.known) + 1
            row = np.arange(len(ids))[:, None] * width
            hit = np.isin(pool.code + row, np.where(code < 0, -1, code + row))
        hit &= passes
        removed[name] = hit.sum(axis=1).astype(np.int32)
        passes &= ~hit
    return passes, removed


def _first(ranks: np.ndarray, passes: np.ndarray, quota: int) -> np.ndarray:
    """Returns (B, G) bool: the first items of a channel that pass."""
    brought = passes & (ranks > 0)
    place = np.where(brought, ranks, np.iinfo(ranks.dtype).max)
    order = np.argsort(place, axis=1, kind="stable")[:, :quota]
    first = np.zeros(ranks.shape, bool)
    np.put_along_axis(first, order, True, axis=1)
    return first & brought
