"""The channel that brings the neighbours of a user's newest events."""

from collections.abc import Mapping

import numpy as np
import scipy.sparse

from jd_tf.data.item_pairs.sparse_rows import strongest
from jd_tf.pipeline.item_lists import ItemLists
from jd_tf.pipeline.recall.channel import Batch
from jd_tf.pipeline.recall.neighbor_table import NeighborTable
from jd_tf.pipeline.recall.scoring import best_of_sparse, history_matrix
from jd_tf.schema import DataError


class Neighbors:
    """Gathers the neighbours of the newest events and adds up their weights.

    An item scores the sum over events of weight / (1 + place), newest 0. It
    serves every table: Swing, co-occurrence, EASE, the item pairs of the
    ranker, and the popular or new items of a shop or category.

    Args:
        name: of the channel.
        table: of items from the ids of `column`.
        behaviors: histories that are read -> their weights.
        column: of the table's keys, in histories.
        num_events: newest events of a behaviour that are read.

    Example:
        >>> weights = scipy.sparse.csr_matrix([[0.0, 0.5], [0.5, 0.0]])
        >>> ids = np.array([7, 9])
        >>> table = NeighborTable(ids, ids, weights)
        >>> channel = Neighbors("swing", table, {"click": 1.0})
        >>> history = {
        ...     "click_item_id": np.array([[7, 0]]),
        ...     "click_length": np.array([1]),
        ... }
        >>> channel.recall(history, count=1).item_id.tolist()
        [[9]]
    """

    def __init__(
        self,
        name: str,
        table: NeighborTable,
        behaviors: Mapping[str, float],
        column: str = "item_id",
        num_events: int = 20,
    ):
        self.name = name
        self.table = table
        self.behaviors = dict(behaviors)
        self.column = column
        self.num_events = num_events

    def recall(
        self, requests: Batch, count: int, excluded: np.ndarray | None = None
    ) -> ItemLists:
        """Returns the strongest neighbours, see `RecallChannel`."""
        histories = history_matrix(
            requests,
            self.table.key_id,
            self.behaviors,
            self.column,
            self.num_events,
        )
        scores = histories @ self.table.weights
        return best_of_sparse(scores, self.table.item_id, count, excluded)


def same_value_table(
    column: np.ndarray,
    item_id: np.ndarray,
    score: np.ndarray,
    num_neighbors: int = 500,
) -> NeighborTable:
    """Returns the best items of each shop, category or brand.

    Args:
        column: (I,) or (I, M) ids of the shops; 0 and b"" are none.
        item_id: (I,) ids, ascending.
        score: (I,) above 0, of popularity or newness; scaled so that the
            best item of each shop has 1.
        num_neighbors: items of a shop.

    Raises:
        DataError: if no item has one.
    """
    values = column.reshape(len(item_id), -1)
    real = values != (b"" if values.dtype == object else 0)
    keys, key = np.unique(values[real], return_inverse=True)
    if not len(keys):
        raise DataError("no item of the catalogue has a value of the column.")
    # An item that names a shop twice is there once.
    pairs = np.unique(np.stack([key, np.nonzero(real)[0]]), axis=1)
    best = np.zeros(len(keys))
    np.maximum.at(best, pairs[0], score[pairs[1]])
    weights = scipy.sparse.csr_matrix(
        (score[pairs[1]] / best[pairs[0]], tuple(pairs)),
        (len(keys), len(item_id)),
    ).astype(np.float32)
    return NeighborTable(keys, item_id, strongest(weights, num_neighbors))
