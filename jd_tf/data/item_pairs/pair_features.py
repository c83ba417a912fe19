"""Pair features of a batch in NumPy, for models that are no graph."""

from collections.abc import Mapping

import numpy as np

from jd_tf.data.item_pairs.item_pairs import ItemPairs
from jd_tf.data.item_pairs.training_parts import PART
from jd_tf.layers.embedding.id_keys import id_keys
from jd_tf.layers.overlap.pair_match import pair_codes
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
    features = []
    for column, table in pairs.columns.items():
        dtype = schema.column(column).dtype
        codes, weights, tables = table.codes, table.weights, 0
        if PART in batch:
            codes, weights = table.part_codes, table.part_weights
            tables = batch[PART][:, None, None] * np.int64(len(pairs.kinds))
        for number, kind in enumerate(pairs.kinds):
            behavior = kind.partition(":")[0]
            # Padding is 0 and has no row.
            (event, known), (target, also_known) = (
                _find(table.keys, id_keys(ids, dtype, column).numpy())
                for ids in (
                    batch[f"{behavior}_{column}"][:, :num_events, None],
                    batch[column][:, None],
                )
            )
            at, found = _find(codes, pair_codes(tables + number, event, target))
            found &= known & also_known
            weight = np.where(found, np.append(weights, 0)[at], 0)
            near = 1.0 / (1.0 + np.arange(event.shape[1])[:, None])
            sums = (weight * near).sum(axis=1)
            features += [sums, np.sqrt(sums), weight.max(axis=1, initial=0)]
            features.append((found * near).max(axis=1, initial=0))
    return np.stack(features, axis=-1).astype(np.float32)


def _find(keys: np.ndarray, wanted: np.ndarray) -> tuple:
    """Returns places among ascending keys, and which hold what is wanted."""
    at = np.searchsorted(keys, wanted)
    return at, np.append(keys, 0)[at] == np.where(wanted, wanted, -1)
