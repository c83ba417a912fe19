"""Cosine co-occurrence of items (ItemKNN)."""

from typing import Any

import numpy as np

from jd_tf.data.item_pairs.sparse_rows import strongest
from jd_tf.pipeline.recall.interactions import Interactions
from jd_tf.pipeline.recall.neighbor_table import NeighborTable
from jd_tf.pipeline.recall.row_blocks import row_blocks, stack_blocks
from jd_tf.schema import DataError


def co_occurrence_table(
    interactions: Interactions,
    half_life: float = 0.0,
    user_damping: float = 0.0,
    target_damping: float = 0.25,
    num_neighbors: int = 200,
    max_entries: int = 1 << 24,
    engine: Any = None,
) -> NeighborTable:
    """Counts the users that items have in common.

    With the weight e of an event, its age a and a user's number of items l,

        w_ui = e_ui 2^(-a_ui / half_life) / l_u^user_damping
        s(i, j) = sum_u w_ui w_uj / (c_i^0.5 c_j^target_damping),
        c_i = sum_u w_ui^2

    Args:
        interactions: of the training split.
        half_life: age at which an event counts half, counted from the newest
            event of all, in the unit of `time`; 0: age does not matter.
        user_damping: exponent of the number of items of a user.
        target_damping: exponent of the popularity of the item that is brought.
            0.5 is the cosine; less leaves popular items their advantage.
        num_neighbors: strongest that are kept of an item.
        max_entries: pairs held at a time; each takes 12 bytes, once a core.
        engine: an `Engine` of tables that works the pairs out, equal up to
            rounding; None: SciPy.

    Raises:
        DataError: for a value out of range.

    References:
        Badrul Sarwar et al., "Item-based Collaborative Filtering
        Recommendation Algorithms", WWW 2001. Yi Ding and Xue Li, "Time Weight
        Collaborative Filtering", CIKM 2005.
    """
    check_table_options(num_neighbors, target_damping, user_damping)
    if half_life < 0:
        raise DataError(f"`half_life` must be >= 0. Got: {half_life}.")
    options = {
        "half_life": half_life,
        "user_damping": user_damping,
        "target_damping": target_damping,
    }
    if engine is None:
        weights = _neighbors(
            interactions, num_neighbors, max_entries, **options
        )
    else:
        # Ibis takes a second to load.
        from jd_tf.pipeline.recall import neighbor_expressions as expressions

        weights = expressions.neighbors_of_engine(
            engine,
            interactions,
            lambda table: expressions.co_occurrence_pairs(table, **options),
            num_neighbors,
        )
    meta = {"job": "co_occurrence", **options, "num_neighbors": num_neighbors}
    ids = interactions.item_id
    return NeighborTable(ids, ids, weights, meta)


def _neighbors(
    interactions: Interactions,
    num_neighbors: int,
    max_entries: int,
    half_life: float,
    user_damping: float,
    target_damping: float,
) -> Any:
    """Returns the weights by products of sparse matrices, block by block."""
    weight = interactions.weight.astype(np.float64)
    sizes = np.bincount(interactions.user)
    if half_life:
        age = interactions.time.max() - interactions.time
        weight *= 0.5 ** (age / half_life)
    weight *= sizes[interactions.user] ** -user_damping
    users = interactions.matrix(weight)
    items = users.T.tocsr()
    num_items = len(interactions.item_id)
    square = np.bincount(interactions.item, weight**2, num_items)
    # What has decayed to nothing has no neighbours, and no division either.
    square = np.maximum(square, np.finfo(np.float32).tiny)
    of_event = square**-0.5
    of_target = (square**-target_damping).astype(np.float32)

    def block(start: int, stop: int) -> object:
        counts = (items[start:stop] @ users).tocsr()
        counts.sort_indices()
        rows = np.repeat(np.arange(start, stop), np.diff(counts.indptr))
        counts.data *= of_event[rows] * of_target[counts.indices]
        counts.data[rows == counts.indices] = 0
        return strongest(counts, num_neighbors)

    costs = items.astype(bool).astype(np.int64) @ sizes
    return stack_blocks(block, row_blocks(costs, max_entries))


def check_table_options(num_neighbors: int, *dampings: float) -> None:
    """Raises a DataError for a value out of range."""
    if num_neighbors < 1:
        raise DataError(f"`num_neighbors` must be >= 1. Got: {num_neighbors}.")
    for damping in dampings:
        if not 0 <= damping <= 1:
            raise DataError(
                f"exponents of damping must be between 0 and 1. Got: {damping}."
            )
