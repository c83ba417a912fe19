"""The ranking that knows only the last things a user touched."""

from collections.abc import Iterable

import numpy as np

from jd_tf.evaluation.baselines.baseline import Baseline, Batch
from jd_tf.evaluation.baselines.matches import match_events, newest_first
from jd_tf.evaluation.collect import to_numpy


class LastCategory(Baseline):
    """Scores a candidate by how much of it the latest events share.

    Every event of every behaviour that has the candidate's item, category,
    brand or shop counts one for each, divided by its place: the newest
    counts 1, the next 1/2, then 1/3. Nothing is learned.
    """

    def fit(self, batches: Iterable[Batch]) -> "LastCategory":
        """Learns nothing; see the base class."""
        del batches
        return self

    def score(self, batch: Batch) -> dict[str, np.ndarray]:
        """Sums matches by recency; see the base class."""
        batch = to_numpy(batch)
        score = np.zeros(batch["item_id"].shape, np.float32)
        for behavior in self.schema.behaviors:
            recency = newest_first(batch, behavior)
            for column in self.schema.item_id_columns:
                matches = match_events(batch, behavior, column.name)
                score += np.einsum("bnl,bl->bn", matches, recency)
        return {"score": score}
