"""Cold items: candidates that training hardly ever showed."""

from collections.abc import Iterable, Mapping

import numpy as np

from jd_tf.evaluation.baselines.rates import IdSums
from jd_tf.evaluation.collect import Batch, to_numpy
from jd_tf.metrics.cells import real_cells

ITEM = "item_id"


class ColdItems:
    """Items shown as candidates in training at most `max_impressions` times.

    Events in histories do not count: a model learns from impressions.
    """

    def __init__(self, max_impressions: int = 0):
        self.max_impressions = max_impressions
        self._impressions = IdSums(1)

    def fit(self, batches: Iterable[Batch]) -> "ColdItems":
        """Counts the candidates of training batches, in one pass."""
        for raw in batches:
            batch = to_numpy(raw)
            ids = batch[ITEM]
            ids = ids[real_cells(batch["num_candidates"], ids.shape[1])]
            self._impressions.add(ids, np.ones((len(ids), 1)))
        return self

    def __call__(self, batch: Mapping[str, np.ndarray]) -> np.ndarray:
        """[B, N] bool, True where a candidate is cold; padding never is."""
        ids = np.asarray(batch[ITEM])
        real = real_cells(batch["num_candidates"], ids.shape[1])
        shown = self._impressions.find(ids)[..., 0]
        return real & (shown <= self.max_impressions)
