"""Ranks all items of a catalogue for the users of a test split."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from experiments import program
from jd_tf.data.batches import numpy_batches
from jd_tf.data.dataset import split_files
from jd_tf.data.sources.sequences import SequencesSource
from jd_tf.metrics import group_gain_at, group_ndcg
from jd_tf.schema import HISTORY_ROLES, REQUEST_ROLES

PLACES = (5, 10, 20)
_SPLIT = "test"
# Users encoded together, and items ranked together for them. Larger chunks
# leave the caches and take half as long again.
_NUM_USERS = 128
_NUM_ITEMS = 128


class CatalogueRanker:
    """Scores every item for a batch of users, who are encoded once.

    Args:
        model: a `RankingModel`.
        catalogue: candidate column -> (I, ...), of all items.
    """

    def __init__(self, model: keras.Model, catalogue: dict[str, np.ndarray]):
        self.model = model
        self.catalogue = catalogue
        self._encode = tf.function(
            model.encode_user, reduce_retracing=True, autograph=False
        )
        self._rank = tf.function(
            self._rank_chunk, reduce_retracing=True, autograph=False
        )

    def __call__(self, batch: dict[str, np.ndarray]) -> np.ndarray:
        """Returns (B, I) scores.

        Args:
            batch: history and request columns.
        """

        def tensors(*roles: Any) -> dict[str, tf.Tensor]:
            columns = self.model.schema.columns(*roles)
            return {c.name: tf.constant(batch[c.name]) for c in columns}

        state = self._encode(tensors(*HISTORY_ROLES))
        request = tensors(*REQUEST_ROLES)
        num_items = len(self.catalogue["item_id"])
        chunks = []
        for start in range(0, num_items, _NUM_ITEMS):
            chunk = {
                name: tf.constant(column[start : start + _NUM_ITEMS])
                for name, column in self.catalogue.items()
            }
            chunks.append(self._rank(state, request, chunk).numpy())
        return np.concatenate(chunks, axis=1)

    def _rank_chunk(
        self,
        state: dict[str, tf.Tensor],
        request: dict[str, tf.Tensor],
        chunk: dict[str, tf.Tensor],
    ) -> tf.Tensor:
        size = tf.shape(next(iter(state.values())))[0]
        candidates = {
            name: tf.repeat(column[tf.newaxis], size, axis=0)
            for name, column in chunk.items()
        }
        count = tf.shape(chunk["item_id"])[0]
        candidates["num_candidates"] = tf.fill([size], count)
        return self.model.rank(state, request, candidates)["score"]


def rank_all_items(
    model: keras.Model, data: Path, source: SequencesSource
) -> dict[str, float]:
    """Returns HR and NDCG at `PLACES` of the test items among all others.

    Items of the user's history, however long ago, do not compete.

    Args:
        model: a trained `RankingModel`.
        data: folder made of the source.
        source: of the same options.
    """
    ranker = CatalogueRanker(model, source.catalogue)
    timelines = {t.user_id: t for t in source.timelines}
    num_users = sum(split_files(data, _SPLIT).values())
    batches = numpy_batches(
        data, _SPLIT, _NUM_USERS, schema=model.schema, keys=True
    )
    found: dict[str, list[np.ndarray]] = {}
    with tqdm(
        total=num_users,
        unit=" users",
        desc="ranking",
        disable=not program.shows_progress(),
    ) as progress:
        for batch in batches:
            scores = ranker(batch)
            users = [user.decode() for user in batch["user_id"]]
            items = [timelines[user].items for user in users]
            target = np.searchsorted(source.items, [row[-1] for row in items])
            competes = np.ones(scores.shape, bool)
            for row, seen in enumerate(items):
                competes[row, np.searchsorted(source.items, seen)] = False
            rows = np.arange(len(users))
            competes[rows, target] = True
            labels = np.zeros(scores.shape)
            labels[rows, target] = 1.0
            judged = (
                *(scores[competes], labels[competes]),
                *(np.nonzero(competes)[0], len(users)),
            )
            for k in PLACES:
                hits = group_gain_at(*judged, k)
                found.setdefault(f"HR@{k}", []).append(hits)
                ndcg = group_ndcg(*judged, k)
                found.setdefault(f"NDCG@{k}", []).append(ndcg)
            progress.update(len(users))
    return {
        name: float(np.concatenate(parts).mean())
        for name, parts in found.items()
    }
