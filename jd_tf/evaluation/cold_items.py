"""Cold items: candidates that training hardly ever showed."""

from collections.abc import Iterable, Mapping

import numpy as np

from jd_tf.evaluation.baselines.rates import IdSums
from jd_tf.evaluation.collect import Batch, to_numpy
from jd_tf.metrics.cells import real_cells

ITEM = "item_id"


class ColdItems:
    """Separates cold items from warm ones by their training impressions.

    An item is cold if the training split showed it as a candidate at most
    `max_impressions` times. Events in histories do not count: a model learns
    to rank an item from impressions of it, and an item that was shown nowhere
    may still have been bought elsewhere.

    Args:
        max_impressions: impressions that still leave an item cold; 0: none.
    """

    def __init__(self, max_impressions: int = 0):
        self.max_impressions = max_impressions
        self._impressions = IdSums(1)

    def fit(self, batches: Iterable[Batch]) -> "ColdItems":
        """Counts the candidates of training batches, in one pass."""
        for batch in batches:
            ids = _real_ids(to_numpy(batch))
            self._impressions.add(ids, np.ones((len(ids), 1)))
        return self

    def __call__(self, batch: Mapping[str, np.ndarray]) -> np.ndarray:
        """[B, N] bool, True where a candidate is cold; padding never is."""
        ids = np.asarray(batch[ITEM])
        real = real_cells(batch["num_candidates"], ids.shape[1])
        shown = self._impressions.find(ids)[..., 0]
        return real & (shown <= self.max_impressions)


def _real_ids(batch: Mapping[str, np.ndarray]) -> np.ndarray:
    ids = batch[ITEM]
    return ids[real_cells(batch["num_candidates"], ids.shape[1])]
