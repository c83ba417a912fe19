"""From a batch of histories to weights of ids, from scores to lists."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse

from jd_tf.data.item_pairs.sparse_rows import strongest
from jd_tf.pipeline.item_lists import ItemLists


def find_ids(known: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Returns rows of ids of any shape among ascending ids, -1 for none."""
    if not len(known):
        return np.full(wanted.shape, -1)
    if known.dtype != object and wanted.dtype == object:
        raise TypeError("ids are numbers in one array and texts in the other.")
    at = np.searchsorted(known, wanted).clip(max=len(known) - 1)
    return np.where(known[at] == wanted, at, -1)


def history_matrix(
    requests: Mapping[str, np.ndarray],
    known: np.ndarray,
    behaviors: Mapping[str, float],
    column: str = "item_id",
    num_events: int = 20,
) -> Any:
    """Returns (B, R) CSR: the weights that ids have in histories.

    The event at place p of a behaviour, newest 0, weighs weight / (1 + p);
    ids that come again add up.

    Args:
        requests: history columns.
        known: (R,) ids, ascending; others do not count.
        behaviors: name -> weight.
        column: of the ids; of one with several values each counts.
        num_events: newest events of a behaviour that are read.
    """
    rows, found, weights = [], [], []
    for name, weight in behaviors.items():
        ids = requests[f"{name}_{column}"][:, :num_events]
        place = np.arange(ids.shape[1])
        real = place < requests[f"{name}_length"][:, None]
        value = np.broadcast_to(weight / (1.0 + place), real.shape)
        if ids.ndim == 3:
            real, value = (
                np.broadcast_to(part[..., None], ids.shape)
                for part in (real, value)
            )
        at = find_ids(known, ids)
        real = real & (at >= 0)
        rows.append(np.nonzero(real)[0])
        found.append(at[real])
        weights.append(value[real])
    parts = [np.concatenate(part) for part in (weights, rows, found)]
    size = len(next(iter(requests.values())))
    return scipy.sparse.csr_matrix(
        (parts[0].astype(np.float32), tuple(parts[1:])), (size, len(known))
    )


def best_of_sparse(
    scores: Any,
    item_id: np.ndarray,
    count: int,
    excluded: np.ndarray | None = None,
) -> ItemLists:
    """Returns the items of the largest scores above 0.

    Args:
        scores: (B, I) CSR.
        item_id: (I,) ids, ascending.
        count: K.
        excluded: (B, X) ids that must not come back, or None.
    """
    scores = scores.tocsr()
    if excluded is not None:
        at = find_ids(item_id, excluded)
        rows = np.nonzero(at >= 0)[0]
        columns = at[at >= 0]
        # A matrix of the same kind: what it has is taken away.
        out = scipy.sparse.csr_matrix(
            (np.ones(len(rows), np.float32), (rows, columns)), scores.shape
        )
        scores = scores - scores.multiply(out.astype(bool))
    best = strongest(scores.tocsr(), count)
    rows = np.repeat(np.arange(best.shape[0]), np.diff(best.indptr))
    order = np.lexsort((best.indices, -best.data, rows))
    place = np.arange(len(order)) - best.indptr[rows]
    shape = (best.shape[0], min(count, len(item_id)))
    empty = b"" if item_id.dtype == object else 0
    found = np.full(shape, empty, item_id.dtype)
    score = np.full(shape, -np.inf, np.float32)
    found[rows, place] = item_id[best.indices[order]]
    score[rows, place] = best.data[order]
    length = np.diff(best.indptr).astype(np.int32)
    return ItemLists(found, score, length)
