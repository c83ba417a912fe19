"""Users and first time of each item: for popular and new items."""

import dataclasses
from pathlib import Path

import numpy as np

from jd_tf.data.files import (
    read_npz,
    with_texts,
    without_pickle,
    write_npz,
)
from jd_tf.pipeline.recall.interactions import Interactions
from jd_tf.schema import DataError

_ARRAYS = ("item_id", "users", "first_seen")


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
        ids = without_pickle(self.item_id)
        arrays = (ids, self.users, self.first_seen)
        write_npz(path, dict(zip(_ARRAYS, arrays, strict=True)))

    @classmethod
    def load(cls, path: str | Path) -> "ItemStatistics":
        """Reads a file of `save`.

        Raises:
            DataError: if the file is missing or another.
        """
        arrays = read_npz(path)
        if set(arrays) != set(_ARRAYS):
            raise DataError(
                f"{path}: no statistics of items: holds {sorted(arrays)}."
            )
        ids = with_texts(arrays["item_id"])
        return cls(ids, arrays["users"], arrays["first_seen"])
