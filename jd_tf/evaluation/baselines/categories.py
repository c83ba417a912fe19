"""Ids as small numbers, for trees."""

import numpy as np

from jd_tf.evaluation.baselines.features import Arrays
from jd_tf.evaluation.baselines.rates import IdSums
from jd_tf.metrics.cells import real_cells
from jd_tf.schema import Schema


class Categories:
    """Numbers the most frequent ids of some columns; the rest are missing."""

    def __init__(self, schema: Schema, max_categories: int = 250):
        self.schema = schema
        self.max_categories = max_categories
        slots = sum(len(behavior.action_slots) for behavior in schema.behaviors)
        size = len(schema.item_id_columns[1:]) + len(schema.context_columns)
        self._sums = [IdSums(1) for _ in range(size + slots)]
        self._known: list[np.ndarray] = []

    def add(self, batch: Arrays) -> None:
        """Counts the ids of a batch's real impressions."""
        real = real_cells(batch["num_candidates"], batch["item_id"].shape[1])
        for place, ids in enumerate(self._columns(batch)):
            ids = ids[real]
            self._sums[place].add(ids, np.ones((len(ids), 1)))

    def settle(self) -> None:
        """Fixes the numbers; call once all batches are counted."""
        self._known = [sums.top(self.max_categories) for sums in self._sums]

    def encode(self, batch: Arrays) -> np.ndarray:
        """[B, N, K] float32 numbers from 0, nan for ids without one."""
        parts = [np.zeros((*batch["item_id"].shape, 0), np.float32)]
        for known, ids in zip(self._known, self._columns(batch), strict=True):
            number = np.full(ids.shape, np.nan)
            if len(known):
                place = np.searchsorted(known, ids)
                place = np.minimum(place, len(known) - 1)
                number = np.where(known[place] == ids, place, np.nan)
            parts.append(number[..., None])
        return np.concatenate(parts, axis=2, dtype=np.float32)

    def _columns(self, batch: Arrays) -> list[np.ndarray]:
        """Every column as [B, N]."""
        shape = batch["item_id"].shape
        columns = [batch[c.name] for c in self.schema.item_id_columns[1:]]
        per_request = [batch[c.name] for c in self.schema.context_columns]
        for behavior in self.schema.behaviors:
            if not behavior.action_slots:
                continue
            actions = batch[f"{behavior.name}_action_ids"]
            newest = np.zeros((len(actions), actions.shape[2]), np.int64)
            if actions.shape[1]:
                some = batch[behavior.length][:, None] > 0
                newest = np.where(some, actions[:, 0], 0)
            per_request += list(newest.T)
        columns += [np.broadcast_to(ids[:, None], shape) for ids in per_request]
        return columns
