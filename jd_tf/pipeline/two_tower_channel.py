"""The recall channel of a two-tower model."""

from pathlib import Path
from typing import Any

import numpy as np

from jd_tf.pipeline.item_lists import ItemLists
from jd_tf.pipeline.recall.channel import Batch
from jd_tf.schema import DataError
from jd_tf.serving.export.loading import LoadedModel
from jd_tf.serving.export.versions import resolve
from jd_tf.serving.signature_names import (
    EXCLUDED,
    ITEM_ID,
    NUM_EXCLUDED,
    NUM_FOUND,
    SERVING_DEFAULT,
)


class TwoTowerChannel:
    """Recalls the items nearest to a user's vectors.

    Args:
        retriever: a `ServedRetriever`, live, the `LoadedModel` of its version,
            or an `ApproximateRetriever` on either.
        name: of the channel.
    """

    def __init__(self, retriever: Any, name: str = "two_tower"):
        self.name = name
        self._retriever = retriever

    @classmethod
    def load(
        cls, folder: str | Path, name: str = "two_tower"
    ) -> "TwoTowerChannel":
        """Loads a version folder, or the highest version of a model."""
        return cls(LoadedModel(resolve(folder)), name)

    def recall(
        self, requests: Batch, count: int, excluded: np.ndarray | None = None
    ) -> ItemLists:
        """Returns the `count` nearest items, see `RecallChannel`.

        Items of the history are left out, unless the model `repeats`.

        Raises:
            DataError: a column is missing, or fewer items were exported.
        """
        inputs = self._retriever.signatures[SERVING_DEFAULT]["inputs"]
        size = len(next(iter(requests.values())))
        if excluded is None:
            text = inputs[EXCLUDED]["dtype"] == "string"
            empty, dtype = (b"", object) if text else (0, np.int64)
            excluded = np.full((size, 1), empty, dtype)
        given = {
            **requests,
            EXCLUDED: excluded,
            NUM_EXCLUDED: np.full(size, excluded.shape[1], np.int32),
        }
        missing = [name for name in inputs if name not in given]
        if missing:
            raise DataError(
                f"channel `{self.name}`: the requests have no column "
                f"`{missing[0]}`."
            )
        answer = self._retriever.call(
            SERVING_DEFAULT, {name: given[name] for name in inputs}
        )
        ids, score = answer[ITEM_ID], answer["score"]
        if count > ids.shape[1]:
            raise DataError(
                f"channel `{self.name}`: {count} items are wanted, but its "
                f"model finds {ids.shape[1]}. Export it with a larger --count."
            )
        length = np.minimum(answer[NUM_FOUND], count)
        beyond = np.arange(count) >= length[:, np.newaxis]
        return ItemLists(
            ids[:, :count],
            np.where(beyond, -np.inf, score[:, :count]).astype(np.float32),
            length.astype(np.int32),
        )
