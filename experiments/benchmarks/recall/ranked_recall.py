"""Orders recalled items by a trained ranker."""

from collections.abc import Mapping

import keras
import numpy as np
from tqdm import tqdm

from experiments import program
from experiments.benchmarks.recall.recall_judging import Requests
from jd_tf.evaluation.live_scorer import model_scorer
from jd_tf.pipeline.catalogue import Catalogue
from jd_tf.pipeline.item_lists import ItemLists

_BATCH_SIZE = 128


def ranked_lists(
    model: keras.Model,
    catalogue: Mapping[str, np.ndarray],
    requests: Requests,
    lists: ItemLists,
) -> ItemLists:
    """Returns the items of lists in the order of a ranker's score.

    Args:
        model: a trained `RankingModel`.
        catalogue: candidate columns of all items.
        requests: whose histories it reads.
        lists: items of each request.
    """
    items, score = Catalogue(catalogue), model_scorer(model)
    parts = []
    hidden = not program.shows_progress()
    starts = range(0, len(requests), _BATCH_SIZE)
    for start in tqdm(starts, "ranking", unit=" batches", disable=hidden):
        rows = slice(start, start + _BATCH_SIZE)
        mine = lists.some(rows)
        # Padding has no row: any item does, beyond `num_candidates`.
        known = np.where(mine.present, mine.item_id, items.item_id[0])
        batch = {
            **requests.some(rows).columns,
            **items.candidates(known),
            "num_candidates": mine.length,
        }
        found = np.where(mine.present, score(batch)["score"], -np.inf)
        parts.append(ItemLists.best(mine.item_id, found, found.shape[1]))
    return ItemLists.joined(parts)
