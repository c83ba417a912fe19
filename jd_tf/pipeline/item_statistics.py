"""Users and first time of each item: for popular and new items."""

import dataclasses
from pathlib import Path

import numpy as np

from jd_tf.data.files import read_npz, write_npz
from jd_tf.pipeline.recall.interactions import Interactions


@dataclasses.dataclass(frozen=True)
class ItemStatistics:
    """Numbers of items that need no user.

    Attributes:
        item_id: (I,) ids, ascending.
        users: (I,) who came to it.
        first_seen: (I,) int64, the earliest event.
    """

    item_id: np.ndarray
    users: np.ndarray
    first_seen: np.ndarray

    @classmethod
    def of(cls, interactions: Interactions) -> "ItemStatistics":
        """Counts them."""
        return cls(
            interactions.item_id,
            interactions.popularity(),
            interactions.first_seen(),
        )

    def save(self, path: str | Path) -> None:
        """Writes one `.npz` file, atomically."""
        write_npz(path, vars(self))

    @classmethod
    def load(cls, path: str | Path) -> "ItemStatistics":
        """Reads a file of `save`.

        Raises:
            DataError: if the file is missing or another.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        arrays = read_npz(path, "Make one with `build_recommender`.", names)
        return cls(*(arrays[name] for name in names))
