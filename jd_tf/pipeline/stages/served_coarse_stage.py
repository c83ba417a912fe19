"""Coarse ranking by an exported tower, in this process or at a server."""

import numpy as np

from jd_tf.pipeline.stages.answers import best_first
from jd_tf.pipeline.stages.stage import ScoredItems, UserRequest
from jd_tf.serving.client.transport import Call, Describe, Transport
from jd_tf.serving.signature_names import (
    ITEM_ID,
    NUM_CANDIDATES,
    SERVING_DEFAULT,
)


class ServedCoarseStage:
    """Orders by the scores of a SavedModel that `export_coarse` wrote.

    Histories, request and ids travel; the vectors of items lie in the
    SavedModel. Items that it does not know come last.

    Args:
        transport: of the model; belongs to the caller, who closes it.
    """

    name = "coarse"

    def __init__(self, transport: Transport):
        self._transport = transport
        self._taken: tuple[str, ...] = ()

    def order(
        self,
        request: UserRequest,
        items: ScoredItems,
        count: int,
        seconds: float,
    ) -> ScoredItems:
        """See `RankingStage`."""
        given = {
            **request.batch,
            ITEM_ID: items.item_id[np.newaxis],
            NUM_CANDIDATES: np.array([len(items)], np.int32),
        }
        try:
            if not self._taken:
                described = self._transport.call(Describe(), seconds)
                inputs = described.signatures[SERVING_DEFAULT]["inputs"]
                self._taken = tuple(inputs)
            call = Call(SERVING_DEFAULT, {n: given[n] for n in self._taken})
            answer = self._transport.call(call, seconds)
        except Exception:
            # A new version may take other columns.
            self._taken = ()
            raise
        return best_first(items, answer.outputs["score"][0], count)
