"""Recall and NDCG of a two-tower model among a whole catalogue."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from jd_tf.metrics.retrieval_metrics import place_metrics
from jd_tf.schema import DataError
from jd_tf.training.retrieval.retrieval_step import item_tensors
from jd_tf.training.retrieval.timelines import TARGETS, Timelines

_BATCH_SIZE = 256
_ITEMS_AT_ONCE = 4096


class RetrievalValidator:
    """Places of requests' positive items among all items of a catalogue.

    Items of the history do not compete, unless `softmax.repeats`. Requests
    without a positive item in the catalogue do not count.

    Args:
        model: a `TwoTower`.
        catalogue: candidate columns (I, ...) of all items, `item_id` ascending.
        requests: read with the same item ids.

    Raises:
        DataError: no request has a positive item.
    """

    def __init__(
        self,
        model: Any,
        catalogue: Mapping[str, np.ndarray],
        requests: Timelines,
    ):
        self.model = model
        self.requests = requests
        self._catalogue = catalogue
        if not model.config.softmax.repeats:
            self.requests = requests = requests.without_repeats()
        if not (requests.targets[:, 0] >= 0).any():
            raise DataError(
                "no request to validate on has a positive item that is in the "
                "catalogue and not in its history."
            )
        options: Any = {"reduce_retracing": True, "autograph": False}
        self._places = tf.function(self._batch_places, **options)
        self._scores = tf.function(self._score_batch, **options)

    def places(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns of each request that counts items above and tied, (R,)."""
        items = tf.constant(item_vectors(self.model, self._catalogue))
        return self._count_places(lambda batch: self._scores(batch, items))

    def places_by(self, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the same, of items with one score (I,) for all requests."""
        one = tf.constant(score, tf.float32)[tf.newaxis]
        return self._count_places(
            lambda batch: tf.repeat(one, len(batch[TARGETS]), axis=0)
        )

    def __call__(self) -> dict[str, float | None]:
        """Returns `recall@10`, `@20`, `@100` and `ndcg@10`, means."""
        found = place_metrics(*self.places())
        return {name: float(values.mean()) for name, values in found.items()}

    def _count_places(
        self, scores_of: Callable[[Any], tf.Tensor]
    ) -> tuple[np.ndarray, np.ndarray]:
        found = []
        for batch in self.requests.batches(_BATCH_SIZE):
            counted = self._places(batch[TARGETS], scores_of(batch))
            counts = batch[TARGETS].numpy()[:, 0] >= 0
            found.append(np.stack(counted)[:, counts])
        above, tied = np.concatenate(found, axis=1)
        return above, tied

    def _score_batch(self, batch: Any, items: tf.Tensor) -> tf.Tensor:
        users = self.model.encode_user(batch)
        return tf.reduce_max(tf.einsum("bkd,id->bki", users, items), axis=1)

    def _batch_places(self, targets: tf.Tensor, scores: tf.Tensor) -> tuple:
        """Counts items above each target and tied with it, (B,) each."""
        wanted = tf.maximum(targets[:, :1], 0)
        own = tf.gather(scores, wanted, batch_dims=1)
        above, tied = scores > own, scores == own
        if not self.model.config.softmax.repeats:
            past = targets[:, 1:]
            at = tf.cast(tf.where(past >= 0), tf.int32)
            at = tf.stack([at[:, 0], tf.gather_nd(past, at)], axis=1)
            ones = tf.ones(tf.shape(at)[:1], tf.int32)
            competes = tf.scatter_nd(at, ones, tf.shape(scores)) == 0
            above, tied = above & competes, tied & competes
        return _count(above), _count(tied) - 1


def item_vectors(model: Any, catalogue: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns the vectors of a catalogue's items, (I, D) float32."""
    columns, found = item_tensors(model, catalogue), []
    for start in range(0, len(catalogue["item_id"]), _ITEMS_AT_ONCE):
        part = {
            name: column[tf.newaxis, start : start + _ITEMS_AT_ONCE]
            for name, column in columns.items()
        }
        found.append(model.encode_items(part)[0].numpy())
    return np.concatenate(found)


def _count(chosen: tf.Tensor) -> tf.Tensor:
    return tf.math.count_nonzero(chosen, axis=1, dtype=tf.int32)
