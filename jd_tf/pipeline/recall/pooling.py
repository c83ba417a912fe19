"""Lists of several channels as one pool of distinct items."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from jd_tf.pipeline.item_lists import ItemLists


@dataclasses.dataclass(frozen=True)
class Pool:
    """The distinct items that C channels brought for each of B requests.

    Attributes:
        channels: C names.
        known: ids of all, ascending.
        code: (B, G) int64, rows of `known`, ascending in a request; -1 beyond
            its items.
        ranks: (B, G, C) int32, place in the list of each channel, from 1; 0
            where it did not bring the item.
        scaled: (B, G, C) float32, the score there, from 1 for the best of a
            list to 0 for its last; 0 where it did not bring the item.
    """

    channels: tuple[str, ...]
    known: np.ndarray
    code: np.ndarray
    ranks: np.ndarray
    scaled: np.ndarray

    @property
    def present(self) -> np.ndarray:
        """(B, G) bool, entries that are items."""
        return self.code >= 0

    @property
    def item_id(self) -> np.ndarray:
        """(B, G) ids; anything where none is present."""
        return self.known[self.code]

    def values(self, by: str, rank_offset: float) -> np.ndarray:
        """Returns (B, G, C) float64, 0 where a channel did not bring an item.

        Args:
            by: "score", or "rank": 1 / (rank_offset + rank).
            rank_offset: of ranks.
        """
        if by == "score":
            return self.scaled.astype(np.float64)
        inverse = 1.0 / (rank_offset + np.maximum(self.ranks, 1))
        return np.where(self.ranks > 0, inverse, 0.0)

    @classmethod
    def of(cls, lists: Mapping[str, ItemLists]) -> "Pool":
        """Pools lists of the same requests, by name of their channel.

        Raises:
            ValueError: without lists, or where they are of other numbers of
                requests or other kinds of ids.
        """
        if not lists:
            raise ValueError("there are no lists to merge.")
        parts = list(lists.values())
        if len({(len(p), p.item_id.dtype.kind) for p in parts}) > 1:
            found = ", ".join(
                f"{name} {len(part)} x {part.item_id.dtype}"
                for name, part in lists.items()
            )
            raise ValueError(
                f"lists must be of the same requests and kind of ids: {found}."
            )
        ids = np.concatenate([p.item_id for p in parts], axis=1)
        present = np.concatenate([p.present for p in parts], axis=1)
        scaled = np.concatenate([_scaled(p) for p in parts], axis=1)
        widths = [p.item_id.shape[1] for p in parts]
        channel = np.repeat(np.arange(len(widths)), widths)
        rank = np.concatenate([np.arange(1, width + 1) for width in widths])
        known, code = np.unique(ids, return_inverse=True)
        code = np.where(present, code.reshape(ids.shape), len(known))
        # Equal items of a request stand together, and get one group.
        order = np.argsort(code, axis=1)
        code = np.take_along_axis(code, order, axis=1)
        new = np.diff(code, axis=1, prepend=-1) != 0
        group = np.cumsum(new, axis=1) - 1
        real = code < len(known)
        size = int((new & real).sum(axis=1).max(initial=0))
        row, at = np.nonzero(real)
        place = order[row, at]
        group = group[row, at]
        shape = (len(code), size)
        pooled = np.full(shape, -1)
        pooled[row, group] = code[row, at]
        ranks = np.zeros((*shape, len(lists)), np.int32)
        ranks[row, group, channel[place]] = rank[place]
        values = np.zeros(ranks.shape, np.float32)
        values[row, group, channel[place]] = scaled[row, place]
        return cls(tuple(lists), known, pooled, ranks, values)


def _scaled(lists: ItemLists) -> np.ndarray:
    """Returns (B, K) scores from 1 for the first to 0 for the last item."""
    present = lists.present
    best = np.where(present, lists.score, -np.inf).max(axis=1, initial=-np.inf)
    last = np.where(present, lists.score, np.inf).min(axis=1, initial=np.inf)
    with np.errstate(invalid="ignore"):
        width = (best - last)[:, None]
        score = np.where(present, lists.score - last[:, None], 0.0)
        # A list of equal scores has no last: all of it is the best.
        return np.where(width > 0, score / width, present).astype(np.float32)
