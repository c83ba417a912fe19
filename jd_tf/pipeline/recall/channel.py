"""The contract of a recall channel."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from jd_tf.pipeline.item_lists import ItemLists

# Columns of B requests by name.
Batch = Mapping[str, np.ndarray]


class RecallChannel(Protocol):
    """Brings items for requests, from one point of view.

    Channels are merged by `jd_tf.pipeline.recall.merging`; whatever keeps
    this contract can be one: a table, a model, another service.

    Attributes:
        name: of the channel, in traces; unlike any other in a merge.
    """

    name: str

    def recall(
        self, requests: Batch, count: int, excluded: np.ndarray | None = None
    ) -> ItemLists:
        """Returns at most `count` items for each request, best first.

        Args:
            requests: history and request columns of B requests, as
                `numpy_batches` gives them: histories newest first, lengths
                beside. What stands beyond a length is not read.
            count: K, items a request at most; fewer where a channel has no
                more to say.
            excluded: (B, X) raw ids that must not come back, padded by 0 or
                b"". None: no exclusion. A history is not excluded by itself.

        Returns:
            B lists. Scores of channels are not comparable with each other.
        """
        ...
