"""Pair features of a batch in NumPy, for models that are no graph."""

from collections.abc import Mapping

import numpy as np
import scipy.sparse

from jd_tf.data.item_pairs.item_pairs import ColumnPairs, ItemPairs
from jd_tf.data.item_pairs.training_parts import PART
from jd_tf.layers.embedding.id_keys import id_keys
from jd_tf.schema import Schema


def pair_features(
    batch: Mapping[str, np.ndarray],
    pairs: ItemPairs,
    schema: Schema,
    num_events: int = 10,
) -> np.ndarray:
    """Returns what `jd_tf.layers.PairMatch` makes of the same tables.

    Args:
        batch: of `numpy_batches`; one of training must have the `pair_part`
            of `TrainingParts.mark`, or its requests see their own events.
        pairs: the tables.
        schema: of the batch.
        num_events: newest events of a history that are read.

    Returns:
        (B, N, 4 x columns x kinds) float32.
    """
    last = pairs.parts.num_parts
    parts = batch.get(PART, np.full(len(batch["num_candidates"]), last))
    features = []
    for column, tables in pairs.columns.items():
        dtype = schema.column(column).dtype
        candidates = id_keys(batch[column], dtype, column).numpy()
        for number, kind in enumerate(pairs.kinds):
            behavior = kind.partition(":")[0]
            history = batch[f"{behavior}_{column}"][:, :num_events]
            events = id_keys(history, dtype, column).numpy()
            place = np.arange(events.shape[1])
            real = place < batch[f"{behavior}_length"][:, None]
            found = np.zeros((*events.shape, candidates.shape[1]), np.float32)
            for part in np.unique(parts):
                rows = np.flatnonzero(parts == part)
                found[rows] = _weights(
                    tables,
                    (part, number),
                    np.where(real, events, 0)[rows, :, None],
                    candidates[rows, None],
                )
            near = (1.0 / (1.0 + place))[:, None]
            sums = (found * near).sum(axis=1)
            features += [sums, np.sqrt(sums), found.max(axis=1, initial=0)]
            features.append(((found > 0) * near).max(axis=1, initial=0))
    return np.stack(features, axis=-1).astype(np.float32)


def _weights(
    tables: ColumnPairs,
    table: tuple[int, int],
    events: np.ndarray,
    candidates: np.ndarray,
) -> np.ndarray:
    """Returns weights (B, E, N) of pairs in one of the tables."""
    starts, size = tables.starts[table], len(tables.keys)
    pairs = slice(starts[0], starts[-1])
    matrix = scipy.sparse.csr_matrix(
        (tables.weights[pairs], tables.neighbors[pairs], starts - starts[0]),
        (size, size),
    )
    event, known = _rows(tables.keys, events)
    candidate, also_known = _rows(tables.keys, candidates)
    event, candidate, known = np.broadcast_arrays(
        event, candidate, known & also_known
    )
    found = np.zeros(known.shape, np.float32)
    found[known] = np.asarray(matrix[event[known], candidate[known]]).ravel()
    return found


def _rows(keys: np.ndarray, wanted: np.ndarray) -> tuple:
    rows = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return rows, (keys[rows] == wanted) & (wanted != 0)
