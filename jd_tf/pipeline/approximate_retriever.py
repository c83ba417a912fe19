"""Approximate search among item vectors, by faiss."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jd_tf.pipeline.catalogue import Catalogue
from jd_tf.pipeline.item_lists import ItemLists
from jd_tf.schema import DataError
from jd_tf.serving.signature_names import (
    ENCODE_ITEMS,
    ENCODE_USER,
    EXCLUDED,
    ITEM_ID,
    LOWEST_SCORE,
    NUM_FOUND,
    SERVING_DEFAULT,
    VECTOR,
)

_ITEMS_AT_ONCE = 4096
# What faiss asks for, to place the centre of a list.
_ITEMS_PER_LIST = 39
_MOST_LEARNED_FROM = 200_000


class ApproximateRetriever:
    """Answers as a retriever does, but looks at a part of the catalogue.

    Items lie in lists by the nearest of some centres; a user's vector visits
    the lists of the centres nearest to it alone. In process only: a stock
    model server has no such operation, so exports stay exact. (ScaNN's package
    does not load beside TensorFlow 2.21.)

    Args:
        retriever: a `ServedRetriever` or the `LoadedModel` of its version; its
            towers give the vectors.
        catalogue: the items that can be found.
        count: K.
        num_lists: lists; 0 for the square root of the number of items.
        num_probes: lists visited by a vector.

    Raises:
        DataError: faiss is not installed.

    References:
        The Faiss library. Douze et al., 2024.
    """

    def __init__(
        self,
        retriever: Any,
        catalogue: Catalogue,
        count: int,
        num_lists: int = 0,
        num_probes: int = 32,
    ):
        try:
            import faiss
        except ImportError as error:
            raise DataError(
                "approximate search needs faiss: pip install "
                "'jd_tf[approximate]'."
            ) from error
        self._retriever = retriever
        self.signatures = retriever.signatures
        self.item_id, self.count = catalogue.item_id, count
        names = self.signatures[ENCODE_ITEMS]["inputs"]
        vectors = np.concatenate(
            [
                retriever.call(
                    ENCODE_ITEMS,
                    {
                        name: catalogue.columns[name][at : at + _ITEMS_AT_ONCE]
                        for name in names
                    },
                )[VECTOR]
                for at in range(0, len(catalogue), _ITEMS_AT_ONCE)
            ]
        )
        most = max(1, len(vectors) // _ITEMS_PER_LIST)
        lists = min(num_lists or int(len(vectors) ** 0.5), most)
        dim = vectors.shape[1]
        product = faiss.METRIC_INNER_PRODUCT
        self._index = faiss.index_factory(dim, f"IVF{lists},Flat", product)
        step = -(-len(vectors) // _MOST_LEARNED_FROM)
        self._index.train(vectors[::step])
        self._index.add(vectors)
        self._index.nprobe = min(num_probes, lists)

    def call(
        self, signature: str, inputs: Mapping[str, Any]
    ) -> dict[str, np.ndarray]:
        """Runs a signature of the retriever; `serving_default` is ours."""
        if signature != SERVING_DEFAULT:
            return self._retriever.call(signature, inputs)
        user = self._retriever.call(ENCODE_USER, inputs)
        vectors, excluded = user[VECTOR], user[EXCLUDED]
        size, num_vectors, dim = vectors.shape
        wanted = min(self.count + excluded.shape[1], len(self.item_id))
        flat = np.ascontiguousarray(vectors.reshape(-1, dim))
        scores, rows = self._index.search(flat, wanted)
        scores = scores.reshape(size, num_vectors * wanted)
        rows = rows.reshape(size, num_vectors * wanted)
        # -1 where the visited lists had fewer.
        scores[rows < 0] = -np.inf
        ids = self.item_id[rows]
        for row in range(size):
            scores[row, np.isin(ids[row], excluded[row])] = -np.inf
            if num_vectors > 1:
                # An item near to several vectors counts with its best score.
                order = np.argsort(-scores[row], kind="stable")
                _, first = np.unique(rows[row, order], return_index=True)
                again = np.ones(len(order), bool)
                again[order[first]] = False
                scores[row, again] = -np.inf
        lacking = ((0, 0), (0, max(self.count - scores.shape[1], 0)))
        ids, scores = (
            np.pad(ids, lacking, mode="edge"),
            np.pad(scores, lacking, constant_values=-np.inf),
        )
        best = ItemLists.best(ids, scores, self.count)
        lowest = np.float32(LOWEST_SCORE)
        return {
            ITEM_ID: best.item_id,
            "score": np.where(best.present, best.score, lowest),
            NUM_FOUND: best.length,
        }
