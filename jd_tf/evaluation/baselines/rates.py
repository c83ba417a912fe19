"""How often what was shown under an id was positive."""

from collections.abc import Mapping, Sequence

import numpy as np

from jd_tf.evaluation.baselines.id_sums import IdSums
from jd_tf.metrics.cells import real_cells
from jd_tf.schema import Schema


class RateTable:
    """Counts impressions and positives by id, and gives smoothed rates.

    An id seen rarely is drawn to the rate of the level above it: an item to
    its category, a category to all impressions, as if it had been shown
    `strength` more times at that rate.

    Args:
        levels: names of the id columns, widest first.
        num_objectives: T.
        strength: impressions the level above counts for.
    """

    def __init__(
        self,
        levels: Sequence[str],
        num_objectives: int,
        strength: float = 20.0,
    ):
        if strength <= 0:
            raise ValueError(f"`strength` must be positive. Got: {strength}.")
        self.levels = tuple(levels)
        self.num_objectives = num_objectives
        self.strength = strength
        self._total = np.zeros(2 * num_objectives)
        self._sums = {name: IdSums(2 * num_objectives) for name in levels}

    def add(self, batch: Mapping[str, np.ndarray]) -> None:
        """Counts the real impressions of a batch with labels."""
        real = real_cells(batch["num_candidates"], batch["labels"].shape[1])
        self.add_impressions(
            {name: batch[name][real] for name in self.levels},
            batch["labels"][real],
            batch["label_weights"][real],
        )

    def add_impressions(
        self,
        ids: Mapping[str, np.ndarray],
        labels: np.ndarray,
        weights: np.ndarray,
    ) -> None:
        """Counts impressions: ids [M] by level, labels and weights [M, T]."""
        rows = np.concatenate([labels * weights, weights], axis=1)
        for name in self.levels:
            self._sums[name].add(ids[name], rows)
        self._total += rows.sum(axis=0, dtype=np.float64)

    def merge(self, other: "RateTable") -> None:
        """Adds the counts of another table of the same levels."""
        for name in self.levels:
            self._sums[name].merge(other._sums[name])
        self._total += other._total

    def shown(self, name: str, ids: np.ndarray) -> np.ndarray:
        """[..., T] weight of the impressions of ids [...]; 0 if new."""
        return self._sums[name].find(ids)[..., self.num_objectives :]

    def mean(self) -> np.ndarray:
        """[T] rate of each objective over all impressions; 0 without any."""
        half = self.num_objectives
        shown = self._total[half:]
        return self._total[:half] / np.where(shown > 0, shown, 1.0)

    def rates(self, ids: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Smoothed rates of every level.

        Args:
            ids: level -> [...], all of one shape.

        Returns:
            level -> [..., T] float32.
        """
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


def rate_levels(schema: Schema) -> tuple[str, ...]:
    """The chain of id columns from wide to narrow: category, then item."""
    names = [column.name for column in schema.item_id_columns]
    if "category_id" in names:
        return ("category_id", "item_id")
    return (*names[1:2], "item_id")
