"""Swing: items that pairs of users have in common."""

from typing import Any

import numpy as np
import scipy.sparse

from jd_tf.data.item_pairs.sparse_rows import strongest
from jd_tf.pipeline.recall.co_occurrence import check_table_options
from jd_tf.pipeline.recall.interactions import Interactions
from jd_tf.pipeline.recall.neighbor_table import NeighborTable
from jd_tf.pipeline.recall.row_blocks import row_blocks, stack_blocks
from jd_tf.schema import DataError


def swing_table(
    interactions: Interactions,
    alpha: float = 1.0,
    max_users: int = 200,
    user_damping: float = 0.5,
    event_damping: float = 1.0,
    target_damping: float = 0.5,
    num_neighbors: int = 200,
    max_entries: int = 1 << 22,
    seed: int = 1,
    engine: Any = None,
) -> NeighborTable:
    """Counts pairs of users that items have in common.

    Two users who share little but these two items say more than two who
    share much. With the items I_u of a user, over pairs of users u < v of
    both items,

        s(i, j) = sum_uv w_u w_v / (alpha + |I_u & I_v|),
        w_u = 1 / |I_u|^user_damping

    over n_i^event_damping n_j^target_damping, with the users n of an item.
    The paper has neither of these; 0 takes them out.

    A row of the table costs the square of the item's users. Of more than
    `max_users`, that many are drawn: equally many pairs for every neighbour,
    so that a row keeps its order but for the noise of the draw.

    Args:
        interactions: of the training split; weights and times are not read.
        alpha: at least 0.
        max_users: of an item that are looked at; 0: all.
        user_damping: exponent of a user's number of items.
        event_damping: exponent of the popularity of the item that leads.
        target_damping: of the item that is brought.
        num_neighbors: strongest that are kept of an item.
        max_entries: events of an item's users held at a time; each takes
            about 200 bytes, once a core.
        seed: of the draw.
        engine: an `Engine` of tables that works the pairs out, equal up to
            rounding; None: SciPy.

    Raises:
        DataError: for a value out of range.

    References:
        Xiaoyong Yang et al., "Large Scale Product Graph Construction for
        Recommendation in E-commerce", arXiv 2010.05525, section 4.1.
    """
    check_table_options(
        num_neighbors, user_damping, event_damping, target_damping
    )
    for name, value in (("alpha", alpha), ("max_users", max_users)):
        if value < 0:
            raise DataError(f"`{name}` must be >= 0. Got: {value}.")
    drawn = _drawn(interactions, max_users or len(interactions), seed)
    options = {
        "alpha": alpha,
        "user_damping": user_damping,
        "event_damping": event_damping,
        "target_damping": target_damping,
    }
    if engine is None:
        weights = _neighbors(
            interactions, drawn, num_neighbors, max_entries, **options
        )
    else:
        # Ibis takes a second to load.
        from jd_tf.pipeline.recall import neighbor_expressions as expressions

        weights = expressions.neighbors_of_engine(
            engine,
            interactions,
            lambda table: expressions.swing_pairs(table, **options),
            num_neighbors,
            np.bincount(drawn, minlength=len(interactions)) > 0,
        )
    meta = {"job": "swing", "max_users": max_users, **options}
    meta["num_neighbors"] = num_neighbors
    ids = interactions.item_id
    return NeighborTable(ids, ids, weights, meta)


def _neighbors(
    interactions: Interactions,
    drawn: np.ndarray,
    num_neighbors: int,
    max_entries: int,
    alpha: float,
    user_damping: float,
    event_damping: float,
    target_damping: float,
) -> Any:
    """Returns the weights by products of sparse matrices, block by block."""
    users = interactions.matrix(np.ones(len(interactions)))
    popularity = interactions.popularity()
    sizes = np.diff(users.indptr)
    user_weight = sizes.astype(np.float64) ** -user_damping
    item, user = interactions.item[drawn], interactions.user[drawn]
    starts = np.searchsorted(item, np.arange(len(popularity) + 1))
    damped = np.maximum(popularity, 1.0)
    of_event, of_target = damped**-event_damping, damped**-target_damping

    def block(start: int, stop: int) -> Any:
        mine = slice(starts[start], starts[stop])
        found = _block(
            users,
            item[mine] - start,
            user[mine],
            stop - start,
            start,
            user_weight,
            alpha,
        )
        rows = np.repeat(np.arange(start, stop), np.diff(found.indptr))
        found.data *= of_event[rows] * of_target[found.indices]
        return strongest(found, num_neighbors).astype(np.float32)

    costs = np.bincount(item, sizes[user], len(popularity))
    return stack_blocks(block, row_blocks(costs, max_entries))


def _drawn(interactions: Interactions, most: int, seed: int) -> np.ndarray:
    """Returns rows of interactions, by item, at most so many of each."""
    item = interactions.item
    shuffled = np.random.default_rng(seed).permutation(len(item))
    order = shuffled[np.argsort(item[shuffled], kind="stable")]
    sizes = np.bincount(item)
    place = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return order[place < most]


def _block(
    users: Any,
    item: np.ndarray,
    user: np.ndarray,
    num_rows: int,
    first: int,
    user_weight: np.ndarray,
    alpha: float,
) -> Any:
    """Returns s of the rows of a block, as (num_rows, I) CSR.

    A row here is an item i with one of its users u, a column an item i with
    an item j that at least two of its users share. i itself, which all of
    them share, has no column: its product would be as large as all pairs.
    """
    num_items = users.shape[1]
    sizes = np.diff(users.indptr)[user]
    row = np.repeat(np.arange(len(user)), sizes)
    within = np.arange(len(row)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    other = users.indices[users.indptr[user][row] + within]
    code = item[row] * np.int64(num_items) + other
    kept = other != item[row] + first
    columns, column, count = np.unique(
        code[kept], return_inverse=True, return_counts=True
    )
    shared = count > 1
    number = np.cumsum(shared) - 1
    kept_row, kept_shared = row[kept], shared[column]
    columns = columns[shared]
    members = scipy.sparse.csr_matrix(
        (
            np.ones(np.count_nonzero(kept_shared)),
            (kept_row[kept_shared], number[column[kept_shared]]),
        ),
        (len(user), len(columns)),
    )
    pairs = scipy.sparse.triu(members @ members.T, 1, format="csr")
    left = np.repeat(np.arange(len(user)), np.diff(pairs.indptr))
    # The item itself is shared as well.
    pairs.data = (
        user_weight[user[left]]
        * user_weight[user[pairs.indices]]
        / (alpha + 1.0 + pairs.data)
    )
    values = np.asarray(members.multiply(pairs @ members).sum(axis=0)).ravel()
    found = np.divmod(columns, num_items)
    return scipy.sparse.csr_matrix((values, found), (num_rows, num_items))
