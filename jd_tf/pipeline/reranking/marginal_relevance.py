"""Maximal marginal relevance: relevance minus likeness to what is shown."""

import numpy as np

from jd_tf.pipeline.reranking.item_likeness import Likeness


class MarginalRelevance:
    """Values items by relevance and by the most alike item shown so far.

        gain_i = w r_i - (1 - w) max_j likeness_ij

    over the items j of the last `window` - 1 places; the maximum is 0 while
    there are none. A place costs O(N window) and a row of the likeness.

    Args:
        relevance: (N,) r.
        likeness: of the N items.
        relevance_weight: w from 0 to 1.
        window: places, the next one included, that must differ; 0 for all.

    Example:
        >>> import numpy as np
        >>> from jd_tf.pipeline.reranking.item_likeness import SharedIds
        >>> category = SharedIds([np.array([5, 5, 6])])
        >>> values = MarginalRelevance(np.array([1.0, 0.9, 0.8]), category, 0.5)
        >>> values.add(0)
        >>> values.gains().round(2).tolist()
        [0.0, -0.05, 0.4]

    References:
        Jaime Carbonell and Jade Goldstein, "The Use of MMR, Diversity-Based
        Reranking for Reordering Documents and Producing Summaries", SIGIR
        1998.
    """

    def __init__(
        self,
        relevance: np.ndarray,
        likeness: Likeness,
        relevance_weight: float,
        window: int = 0,
    ):
        self._likeness = likeness
        self._worth = relevance_weight * relevance
        self._weight = 1.0 - relevance_weight
        self._near = np.full((max(window - 1, 1), len(relevance)), -np.inf)
        self._window, self._added = window, 0

    def gains(self) -> np.ndarray:
        """Returns (N,) what each item adds next; of no use once added."""
        if not self._added or self._window == 1:
            return self._worth.copy()
        return self._worth - self._weight * self._near.max(axis=0)

    def add(self, item: int) -> None:
        """Shows an item at the next place."""
        near = self._likeness.row(item)
        if self._window > 1:
            self._near[self._added % len(self._near)] = near
        else:
            np.maximum(self._near[0], near, out=self._near[0])
        self._added += 1
