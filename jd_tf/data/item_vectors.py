"""Frozen vectors of items, such as their images': one `.npz` file."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jd_tf.data.files import read_npz, write_npz
from jd_tf.schema import DataError

IDS, VECTORS, META = "item_ids", "vectors", "meta"


@dataclasses.dataclass(frozen=True)
class ItemVectors:
    """Frozen vectors, one an item; items without one are simply absent.

    Attributes:
        item_ids: (M,) int64 or unicode. Unique; none is 0 or empty, which
            pad histories.
        vectors: (M, V) float32, finite. Row m belongs to `item_ids[m]`.
        meta: where they come from; anything JSON can hold.
        where: named in errors: a file, or the maker of the arrays.

    Raises:
        DataError: naming the array, the place and the value that is wrong.

    Example:
        >>> import numpy as np
        >>> from jd_tf.data import ItemVectors
        >>> vectors = ItemVectors(np.array([7, 9]), np.ones((2, 4), "float32"))
        >>> len(vectors), vectors.width
        (2, 4)
    """

    item_ids: np.ndarray
    vectors: np.ndarray
    meta: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    where: str = "item vectors"

    def __post_init__(self) -> None:
        def refuse(array: str, problem: str) -> None:
            raise DataError(f"{self.where}: `{array}` {problem}.")

        ids, vectors = np.asarray(self.item_ids), np.asarray(self.vectors)
        object.__setattr__(self, "item_ids", ids)
        object.__setattr__(self, "vectors", vectors)
        text = ids.dtype.kind == "U"
        if ids.ndim != 1 or not (text or ids.dtype == np.int64):
            refuse(IDS, f"is {_kind(ids)}, must be one axis of int64 or text")
        if vectors.ndim != 2 or vectors.dtype != np.float32:
            refuse(
                VECTORS, f"is {_kind(vectors)}, must be (items, width) float32"
            )
        if len(ids) != len(vectors):
            refuse(VECTORS, f"has {len(vectors)} rows for {len(ids)} item_ids")
        if not vectors.size:
            refuse(VECTORS, f"is empty: {_kind(vectors)}")
        for place in np.flatnonzero(ids == ("" if text else 0))[:1]:
            refuse(IDS, f"[{place}] is {ids[place]!r}, which pads histories")
        unique, counts = np.unique(ids, return_counts=True)
        for twice in unique[counts > 1][:1]:
            places = np.flatnonzero(ids == twice)[:2].tolist()
            refuse(IDS, f"holds {twice!r} twice, at {places}")
        for row, column in np.argwhere(~np.isfinite(vectors))[:1]:
            value = vectors[row, column]
            refuse(
                VECTORS, f"[{row}, {column}] of item {ids[row]!r} is {value}"
            )

    @property
    def width(self) -> int:
        """V, the width of a vector."""
        return self.vectors.shape[1]

    def __len__(self) -> int:
        return len(self.item_ids)

    def save(self, path: str | Path) -> None:
        """Writes the `.npz`, whole or not at all."""
        meta = np.array(json.dumps(dict(self.meta), sort_keys=True))
        write_npz(path, {IDS: self.item_ids, VECTORS: self.vectors, META: meta})

    @classmethod
    def load(cls, path: str | Path) -> "ItemVectors":
        """Reads a file of `save`, or any `.npz` of these arrays.

        Raises:
            DataError: naming the file and the array that is missing or wrong.
        """
        remedy = "Make one with `python -m experiments.embed_images`."
        arrays = read_npz(path, remedy, (IDS, VECTORS))
        try:
            meta = json.loads(str(arrays.get(META, "{}")))
        except ValueError as error:
            raise DataError(f"{path}: `{META}` is no JSON: {error}.") from error
        return cls(arrays[IDS], arrays[VECTORS], meta, str(path))


def _kind(array: np.ndarray) -> str:
    return f"{array.dtype} {array.shape}"
