"""Tables of neighbours: for each key the strongest items."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

from jd_tf.data.files import read_npz, write_npz
from jd_tf.data.item_pairs.item_pairs import ItemPairs
from jd_tf.data.item_pairs.sparse_rows import strongest
from jd_tf.layers.embedding.id_keys import id_keys
from jd_tf.layers.overlap.pair_match import MAX_ROWS
from jd_tf.schema import DataError

_ARRAYS = ("key_id", "item_id", "starts", "neighbor", "weight")
# Neighbours of an item that stay of a ranker's pairs.
_KEPT_OF_PAIRS = 500
_REMEDY = "Make one with `python -m experiments.make_neighbors`."


@dataclasses.dataclass(frozen=True)
class NeighborTable:
    """The strongest items of each of R keys: items, shops, categories.

    Attributes:
        key_id: (R,) int64 or object (bytes), ascending.
        item_id: (I,) likewise.
        weights: (R, I) float32 CSR, at least 0.
        meta: how it was made; anything JSON can hold.

    Example:
        >>> weights = scipy.sparse.csr_matrix([[0.0, 0.5], [0.5, 0.0]])
        >>> ids = np.array([7, 9])
        >>> print(NeighborTable(ids, ids, weights).summary())
        2 of 2 keys have 2 neighbours, 1.0 each
    """

    key_id: np.ndarray
    item_id: np.ndarray
    weights: Any
    meta: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def summary(self) -> str:
        """Returns a line on the size of the table."""
        filled = np.count_nonzero(np.diff(self.weights.indptr))
        each = self.weights.nnz / max(filled, 1)
        return (
            f"{filled:,} of {len(self.key_id):,} keys have "
            f"{self.weights.nnz:,} neighbours, {each:.1f} each"
        )

    def save(self, path: str | Path) -> None:
        """Writes one `.npz` file, atomically."""
        arrays = {
            "key_id": self.key_id,
            "item_id": self.item_id,
            "starts": self.weights.indptr.astype(np.int64),
            "neighbor": self.weights.indices.astype(np.int32),
            "weight": self.weights.data.astype(np.float32),
            "meta": np.array(json.dumps(dict(self.meta))),
        }
        write_npz(path, arrays)

    @classmethod
    def load(cls, path: str | Path) -> "NeighborTable":
        """Reads a file of `save`.

        Raises:
            DataError: naming the file and what is missing or wrong.
        """
        arrays = read_npz(path, _REMEDY, (*_ARRAYS, "meta"))
        keys, items, *parts = (arrays[name] for name in _ARRAYS)
        shape = (len(keys), len(items))
        try:
            matrix = scipy.sparse.csr_matrix((*parts[::-1],), shape)
            matrix.check_format()
            meta = json.loads(str(arrays["meta"]))
        except (TypeError, ValueError) as error:
            raise DataError(
                f"{path}: not a table of neighbours: {error}. {_REMEDY}"
            ) from error
        if not (np.isfinite(matrix.data) & (matrix.data >= 0)).all():
            raise DataError(f"{path}: weights must be finite and >= 0.")
        if any((ids[1:] <= ids[:-1]).any() for ids in (keys, items)):
            raise DataError(f"{path}: ids must ascend, each once.")
        return cls(keys, items, matrix, meta)

    @classmethod
    def of_pairs(
        cls, pairs: ItemPairs, kind: str = "", item_id: np.ndarray | None = None
    ) -> "NeighborTable":
        """Returns the item pairs that a ranker reads, as neighbours.

        Args:
            pairs: of `make_item_pairs`; those of all training events are
                taken.
            kind: of the pairs, the first by default.
            item_id: (I,) raw ids of the catalogue; wanted where ids are
                texts, which pairs keep hashed.

        Raises:
            DataError: for a kind or column that the pairs lack.
        """
        kind = kind or pairs.kinds[0]
        if kind not in pairs.kinds or "item_id" not in pairs.columns:
            raise DataError(
                f"{pairs.where}: no pairs of `item_id` of kind `{kind}`, only "
                f"of {', '.join(pairs.columns)}: {', '.join(pairs.kinds)}."
            )
        column = pairs.columns["item_id"]
        keys = column.keys
        table, event, target = (
            column.codes // MAX_ROWS**2,
            column.codes // MAX_ROWS % MAX_ROWS,
            column.codes % MAX_ROWS,
        )
        mine = table == pairs.kinds.index(kind)
        matrix = scipy.sparse.csr_matrix(
            (column.weights[mine], (event[mine], target[mine])),
            (len(keys), len(keys)),
        )
        meta = {"job": "item_pairs", "kind": kind, **pairs.meta}
        if item_id is not None:
            dtype = "int64" if item_id.dtype.kind == "i" else "string"
            item_id = np.unique(item_id)
            hashed = id_keys(item_id, dtype, "item_id").numpy()
            at = np.searchsorted(keys, hashed).clip(max=len(keys) - 1)
            known = keys[at] == hashed
            keys, at = item_id[known], at[known]
            matrix = matrix[at][:, at]
        return cls(keys, keys, strongest(matrix.tocsr(), _KEPT_OF_PAIRS), meta)
