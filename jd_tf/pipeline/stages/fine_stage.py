"""Fine ranking: any served, loaded or live ranker behind its client."""

from typing import Any

import numpy as np

from jd_tf.pipeline.catalogue import Catalogue
from jd_tf.pipeline.stages.stage import ScoredItems, UserRequest
from jd_tf.schema import SERVING_ROLES
from jd_tf.serving.batching import pad_requests
from jd_tf.serving.client import RankingClient
from jd_tf.serving.client.transport import Call, Describe
from jd_tf.serving.signature_names import AMOUNTS, EXPLAIN

ATTENTION = "attention_"


class FineStage:
    """Ranks by a `RankingClient`, with candidate columns of the catalogue.

    Where the model runs is the transport's affair: a server by gRPC or REST,
    a SavedModel in this process, or a live model (`LiveTransport`).

    Args:
        client: of the ranker; belongs to the caller, who closes it. Its
            `slice_size` is how many candidates a call has.
        catalogue: the candidates' columns.
    """

    name = "fine"

    def __init__(self, client: RankingClient, catalogue: Catalogue):
        self.client = client
        self._catalogue = catalogue

    def order(
        self,
        request: UserRequest,
        items: ScoredItems,
        count: int,
        seconds: float,
    ) -> ScoredItems:
        """See `RankingStage`."""
        ranking = self.client.rank(
            self._with_candidates(request, items.item_id), seconds
        )
        facts: dict[str, Any] = {
            "objectives": list(ranking.objectives),
            "model_version": ranking.model_version,
        }
        if ranking.fusion_weights is not None:
            facts["fusion_weights"] = ranking.fusion_weights.tolist()
        notes = {"probabilities": ranking.probabilities}
        if ranking.amounts is not None:
            notes[AMOUNTS] = ranking.amounts
        return ScoredItems(
            ranking.item_ids,
            ranking.scores,
            notes,
            facts,
        )

    def attention(
        self, request: UserRequest, item_id: np.ndarray, seconds: float
    ) -> dict[str, np.ndarray]:
        """Returns (n, L) attention to each history, the mean of all heads.

        Empty if the model has no `explain` signature, or that no attention.
        """
        transport, schema = self.client.transport, self.client.schema
        described = transport.call(Describe(), seconds).signatures
        if EXPLAIN not in described:
            return {}
        taken = described[EXPLAIN]["inputs"]
        columns = [c for c in schema.columns(*SERVING_ROLES) if c.name in taken]
        full = self._with_candidates(request, item_id)
        full["num_candidates"] = np.asarray(len(item_id), np.int32)
        inputs = pad_requests([full], columns)
        outputs = transport.call(Call(EXPLAIN, inputs), seconds).outputs
        return {
            name.removeprefix(ATTENTION): weights[0].mean(axis=0)[
                : len(item_id)
            ]
            for name, weights in outputs.items()
            if name.startswith(ATTENTION) and weights.ndim == 4
        }

    def _with_candidates(
        self, request: UserRequest, item_id: np.ndarray
    ) -> dict[str, np.ndarray]:
        columns = self._catalogue.candidates(item_id[None])
        return {**request.columns, **{n: c[0] for n, c in columns.items()}}
