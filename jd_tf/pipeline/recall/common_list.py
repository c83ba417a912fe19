"""The channel that brings everybody the same items."""

import numpy as np

from jd_tf.pipeline.item_lists import ItemLists
from jd_tf.pipeline.recall.channel import Batch
from jd_tf.pipeline.recall.scoring import find_ids
from jd_tf.schema import DataError


class CommonList:
    """Brings the items of the highest scores, whoever asks.

    With the users of each item as scores it is the popular channel, with
    `Interactions.first_seen` the channel of new items.

    Args:
        name: of the channel.
        item_id: (I,) ids.
        score: (I,), equal ones in the order of the ids.
        most: items that are kept.

    Example:
        >>> channel = CommonList("popular", np.array([7, 9]), np.array([1, 2]))
        >>> history = {"click_length": np.array([0])}
        >>> channel.recall(history, count=1).item_id.tolist()
        [[9]]
    """

    def __init__(
        self,
        name: str,
        item_id: np.ndarray,
        score: np.ndarray,
        most: int = 10_000,
    ):
        if len(item_id) != len(score):
            raise DataError(
                f"{len(item_id)} items but {len(score)} scores of `{name}`."
            )
        order = np.argsort(-score.astype(np.float64), kind="stable")[:most]
        self.name = name
        self.item_id, self.score = item_id[order], score[order]
        self._ascending = np.argsort(self.item_id, kind="stable")

    def recall(
        self, requests: Batch, count: int, excluded: np.ndarray | None = None
    ) -> ItemLists:
        """Returns the first items of the list, see `RecallChannel`."""
        size = len(next(iter(requests.values())))
        room = 0 if excluded is None else excluded.shape[1]
        # More than are wanted and excluded cannot be read.
        width = min(count + room, len(self.item_id))
        score = np.tile(self.score[:width].astype(np.float32), (size, 1))
        if excluded is not None:
            place = find_ids(self.item_id[self._ascending], excluded)
            row, at = np.nonzero(place >= 0)
            place = self._ascending[place[row, at]]
            score[row[place < width], place[place < width]] = -np.inf
        return ItemLists.best(self.item_id[:width], score, count)
