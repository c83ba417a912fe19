"""The items of a shop with their candidate columns, for every stage."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jd_tf.data.batches import numpy_batches
from jd_tf.data.files import read_npz, write_npz
from jd_tf.pipeline.item_lists import stack_rows
from jd_tf.pipeline.recall.scoring import find_ids
from jd_tf.schema import DataError, Role, Schema

_BATCH_SIZE = 512


class Catalogue:
    """Candidate columns of I items, found by id.

    Args:
        columns: candidate column -> (I, ...), `item_id` among them; each
            item once, in any order.

    Raises:
        DataError: if an item stands twice, or columns differ in length.

    Example:
        >>> catalogue = Catalogue({"item_id": np.array([30, 10])})
        >>> catalogue.rows(np.array([10, 30, 20])).tolist()
        [0, 1, -1]
    """

    def __init__(self, columns: Mapping[str, np.ndarray]):
        ids = columns["item_id"]
        order = np.argsort(ids, kind="stable")
        for name, column in columns.items():
            if len(column) != len(ids):
                raise DataError(
                    f"catalogue column `{name}` has {len(column)} items, "
                    f"`item_id` {len(ids)}."
                )
        self.columns = {n: column[order] for n, column in columns.items()}
        self.item_id = self.columns["item_id"]
        twice = np.flatnonzero(self.item_id[1:] == self.item_id[:-1])
        if len(twice):
            first = self.item_id[twice].tolist()[0]
            raise DataError(
                f"item {first!r} stands twice in the catalogue. Keep its "
                "newest row."
            )

    def __len__(self) -> int:
        return len(self.item_id)

    def rows(self, item_id: np.ndarray) -> np.ndarray:
        """Returns rows of ids of any shape, -1 for what is unknown."""
        return find_ids(self.item_id, item_id)

    def candidates(self, item_id: np.ndarray) -> dict[str, np.ndarray]:
        """Returns candidate columns (B, N, ...) of known ids (B, N).

        Raises:
            KeyError: if an id is not in the catalogue. Padding is not, too.
        """
        rows = self.rows(item_id)
        if (rows < 0).any():
            raise KeyError(item_id[rows < 0][0])
        return {name: column[rows] for name, column in self.columns.items()}

    @classmethod
    def of_records(
        cls, data: str | Path, schema: Schema, split: str = "train"
    ) -> "Catalogue":
        """Reads the candidates of a split, each as it was seen last.

        Args:
            data: folder of request records.
            schema: of the folder.
            split: whose requests are read.
        """
        names = [
            c.name
            for c in schema.columns(Role.CANDIDATE)
            if c.axes.startswith("BN")
        ]
        newest: dict[str, np.ndarray] = {}
        times = np.empty(0, np.int64)
        for batch in numpy_batches(data, split, _BATCH_SIZE, schema=schema):
            place = np.arange(batch["item_id"].shape[1])
            real = place < batch["num_candidates"][:, None]
            when = np.broadcast_to(batch["request_time"][:, None], real.shape)
            times = np.concatenate([times, when[real]])
            for name in names:
                shown = batch[name][real]
                known = newest.get(name, shown[:0])
                newest[name] = stack_rows([known, shown])
            # The last of equal ids, in order of time, is the newest.
            order = np.argsort(times, kind="stable")[::-1]
            _, first = np.unique(newest["item_id"][order], return_index=True)
            kept = order[first]
            times = times[kept]
            newest = {name: column[kept] for name, column in newest.items()}
        if not len(times):
            raise DataError(f"{data}: split `{split}` shows no item.")
        return cls(newest)

    def save(self, path: str | Path) -> None:
        """Writes one `.npz` file, atomically."""
        write_npz(path, self.columns)

    @classmethod
    def load(cls, path: str | Path) -> "Catalogue":
        """Reads a file of `save`.

        Raises:
            DataError: if the file is missing or damaged.
        """
        return cls(read_npz(path))
