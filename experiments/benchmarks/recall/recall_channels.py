"""The channels that benchmarks of recall compare, by name."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import scipy.sparse

from jd_tf.data.item_pairs.counting import make_item_pairs
from jd_tf.data.item_pairs.item_pairs import TWO_STEPS, ItemPairs
from jd_tf.pipeline.recall.channel import RecallChannel
from jd_tf.pipeline.recall.co_occurrence import co_occurrence_table
from jd_tf.pipeline.recall.common_list import CommonList
from jd_tf.pipeline.recall.ease import ease_table
from jd_tf.pipeline.recall.interactions import Interactions
from jd_tf.pipeline.recall.neighbor_table import NeighborTable
from jd_tf.pipeline.recall.neighbors import Neighbors, same_value_table
from jd_tf.pipeline.recall.scoring import find_ids
from jd_tf.pipeline.recall.swing import swing_table
from jd_tf.pipeline.two_tower_channel import TwoTowerChannel
from jd_tf.schema import DataError

_PAIRS = "pairs.npz"


@dataclasses.dataclass(frozen=True)
class RecallTask:
    """All that a channel may be made of.

    Attributes:
        interactions: of the training split.
        data: folder of request records; its training split is that of
            `interactions`.
        workdir: what is made once is kept here.
        behavior: the history that is read.
        half_life: of co-occurrence, in the unit of `interactions.time`.
        catalogue: candidate columns of all items, ascending by `item_id`.
        attribute: column of it that items share, a category for instance.
        retriever: folder of an exported two-tower model of the same data.
    """

    interactions: Interactions
    data: Path
    workdir: Path
    behavior: str = "click"
    half_life: float = 0.0
    catalogue: Mapping[str, np.ndarray] = dataclasses.field(
        default_factory=dict
    )
    attribute: str = ""
    retriever: Path | None = None

    def neighbors(
        self, name: str, table: NeighborTable, num_events: int = 20
    ) -> RecallChannel:
        """Returns the channel of a table of items."""
        return Neighbors(
            name, table, {self.behavior: 1.0}, num_events=num_events
        )

    def pairs(self) -> ItemPairs:
        """Returns the pairs that a ranker would read; counted once."""
        path = self.workdir / _PAIRS
        if not path.exists():
            pairs = make_item_pairs(
                self.data, leave_out="user", num_parts=2, two_steps=True
            )
            pairs.save(path)
        return ItemPairs.load(path)


def _popular(task: RecallTask) -> RecallChannel:
    logs = task.interactions
    return CommonList("popular", logs.item_id, logs.popularity())


def _newest(task: RecallTask) -> RecallChannel:
    logs = task.interactions
    return CommonList("newest", logs.item_id, logs.first_seen())


def _popular_in_attribute(task: RecallTask) -> RecallChannel:
    logs, items = task.interactions, task.catalogue["item_id"]
    row = find_ids(logs.item_id, items)
    users = np.where(row >= 0, logs.popularity()[row], 0)
    # Items of nobody come last, not never.
    score = np.maximum(users, 0.1)
    table = same_value_table(task.catalogue[task.attribute], items, score)
    return Neighbors(
        "popular_in_attribute", table, {task.behavior: 1.0}, task.attribute
    )


def _own_history(task: RecallTask) -> RecallChannel:
    ids = task.interactions.item_id
    table = NeighborTable(ids, ids, scipy.sparse.identity(len(ids)).tocsr())
    return task.neighbors("own_history", table, num_events=100)


def _co_visits_of_last(task: RecallTask) -> RecallChannel:
    # Counts of the newest item's co-visits, damped by nothing: two lines.
    table = co_occurrence_table(task.interactions, target_damping=0.0)
    return task.neighbors("co_visits_of_last", table, num_events=1)


def _item_knn(task: RecallTask) -> RecallChannel:
    table = co_occurrence_table(
        task.interactions, half_life=task.half_life, num_neighbors=500
    )
    return task.neighbors("item_knn", table)


def _swing(task: RecallTask) -> RecallChannel:
    return task.neighbors("swing", swing_table(task.interactions))


def _ease(task: RecallTask) -> RecallChannel:
    path = task.workdir / "ease.npz"
    if not path.exists():
        ease_table(task.interactions).save(path)
    return task.neighbors("ease", NeighborTable.load(path))


def _item_pairs(task: RecallTask) -> RecallChannel:
    return task.neighbors("item_pairs", NeighborTable.of_pairs(task.pairs()))


def _item_pairs_two_steps(task: RecallTask) -> RecallChannel:
    pairs = task.pairs()
    table = NeighborTable.of_pairs(pairs, pairs.kinds[0] + TWO_STEPS)
    return task.neighbors("item_pairs_two_steps", table)


def _two_tower(task: RecallTask) -> RecallChannel:
    if task.retriever is None:
        raise DataError(
            "--channels: `two_tower` needs --retrievers, a folder of "
            "SavedModels of export_retrieval."
        )
    return TwoTowerChannel.load(task.retriever)


# A further channel is a line here.
CHANNELS: dict[str, Callable[[RecallTask], RecallChannel]] = {
    "popular": _popular,
    "newest": _newest,
    "own_history": _own_history,
    "popular_in_attribute": _popular_in_attribute,
    "co_visits_of_last": _co_visits_of_last,
    "item_knn": _item_knn,
    "ease": _ease,
    "swing": _swing,
    "item_pairs": _item_pairs,
    "item_pairs_two_steps": _item_pairs_two_steps,
    "two_tower": _two_tower,
}


def check_channels(names: Iterable[str]) -> None:
    """Raises a DataError for a name that is no channel."""
    for name in names:
        if name not in CHANNELS:
            raise DataError(
                f"--channels: no channel `{name}`, only {', '.join(CHANNELS)}."
            )
