"""EASE: a linear model of items from items, in closed form."""

import numpy as np
import scipy.linalg
import scipy.sparse

from jd_tf.data.item_pairs.sparse_rows import strongest
from jd_tf.pipeline.recall.co_occurrence import check_table_options
from jd_tf.pipeline.recall.interactions import Interactions
from jd_tf.pipeline.recall.neighbor_table import NeighborTable
from jd_tf.schema import DataError

_BLOCK = 1024


def ease_table(
    interactions: Interactions,
    l2: float = 200.0,
    num_neighbors: int = 500,
    max_items: int = 20_000,
) -> NeighborTable:
    """Solves for the weights that rebuild each user's items from the others.

    With the users' items X, minimises |X - X B|^2 + l2 |B|^2 for B of zero
    diagonal:

        P = (X'X + l2)^-1,  B_ij = -P_ij / P_jj

    Only the strongest positive weights of each row are kept: B is dense, and
    on catalogues of 12,000 items 500 of a row recall what all do.

    Args:
        interactions: of the training split; times are not read.
        l2: above 0.
        num_neighbors: strongest that are kept of an item.
        max_items: catalogues of more are refused. Memory is 4 I^2 bytes
            (1.6 GB of 20,000 items), time I^3.

    Raises:
        DataError: for a value out of range, or too many items.

    References:
        Harald Steck, "Embarrassingly Shallow Autoencoders for Sparse Data",
        WWW 2019.
    """
    check_table_options(num_neighbors)
    if l2 <= 0:
        raise DataError(f"`l2` must be > 0. Got: {l2}.")
    num_items = len(interactions.item_id)
    if num_items > max_items:
        raise DataError(
            f"EASE solves for {num_items} x {num_items} weights, and only "
            f"{max_items} items are allowed. Raise `max_items`, or take Swing "
            "or co-occurrence tables."
        )
    users = interactions.matrix()
    gram = (users.T @ users).toarray(order="F").astype(np.float32, copy=False)
    gram[np.diag_indices(num_items)] += l2
    factor, failed = scipy.linalg.lapack.spotrf(gram, overwrite_a=True)
    if not failed:
        # The lower triangle stays 0.
        factor, failed = scipy.linalg.lapack.spotri(factor, overwrite_c=True)
    if failed:
        raise DataError(f"EASE has no solution with `l2` {l2}. Raise it.")
    scale = -1.0 / np.diag(factor)
    blocks = []
    for start in range(0, num_items, _BLOCK):
        stop = min(start + _BLOCK, num_items)
        # The diagonal comes out below 0 and is not kept.
        rows = factor[start:stop] + factor[:, start:stop].T
        rows = scipy.sparse.csr_matrix(np.maximum(rows * scale, 0))
        blocks.append(strongest(rows, num_neighbors))
    meta = {"job": "ease", "l2": l2, "num_neighbors": num_neighbors}
    ids = interactions.item_id
    weights = scipy.sparse.vstack(blocks, format="csr")
    return NeighborTable(ids, ids, weights, meta)
