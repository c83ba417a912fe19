"""Recall: all channels side by side, each with the same deadline."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

import numpy as np

from jd_tf.pipeline.catalogue import Catalogue
from jd_tf.pipeline.item_lists import ItemLists
from jd_tf.pipeline.recall.channel import RecallChannel
from jd_tf.pipeline.stages.stage import ScoredItems, UserRequest
from jd_tf.pipeline.stages.stage_threads import StageThreads

CHANNELS = "channels"


class RecallStage:
    """Asks every channel in a thread of its own and merges what came in time.

    A channel that fails or is late is left out. Items that the catalogue
    does not know are dropped: no later stage could rank them.

    Args:
        channels: each with a name of its own.
        catalogue: of all items.
        threads: that the calls run in.
        per_channel: items asked of each.
        excluded_behaviors: items of these histories are not brought.
    """

    name = "recall"

    def __init__(
        self,
        channels: Sequence[RecallChannel],
        catalogue: Catalogue,
        threads: StageThreads,
        per_channel: int,
        excluded_behaviors: Sequence[str] = (),
    ):
        self.channels = tuple(channels)
        self._catalogue = catalogue
        self._threads = threads
        self._per_channel = per_channel
        self._behaviors = tuple(excluded_behaviors)

    def excluded(
        self, request: UserRequest, blocked: np.ndarray | None
    ) -> np.ndarray:
        """Returns (X,) ids that must not be shown to this user."""
        parts = [request.columns[f"{b}_item_id"] for b in self._behaviors]
        if blocked is not None and len(blocked):
            parts.append(blocked)
        ids = self._catalogue.item_id
        return np.concatenate(parts).astype(ids.dtype) if parts else ids[:0]

    def knows(self, item_id: np.ndarray) -> np.ndarray:
        """Returns whether the catalogue has the items, as bool."""
        return self._catalogue.rows(item_id) >= 0

    def recall(
        self, request: UserRequest, excluded: np.ndarray, seconds: float
    ) -> tuple[ScoredItems, dict[str, str]]:
        """Returns the merged items, and what went wrong by channel."""
        end = time.monotonic() + seconds
        calls: dict[str, Future[Any]] = {}
        problems: dict[str, str] = {}
        for channel in self.channels:

            def call(channel: RecallChannel = channel) -> ItemLists:
                return channel.recall(
                    request.batch, self._per_channel, excluded[None]
                )

            try:
                calls[channel.name] = self._threads.start(
                    f"{self.name}/{channel.name}", call
                )
            except RuntimeError as error:
                problems[channel.name] = str(error)
        found: dict[str, ItemLists] = {}
        for name, future in calls.items():
            try:
                found[name] = future.result(max(end - time.monotonic(), 0.0))
            except FutureTimeoutError:
                problems[name] = f"late: no answer within {seconds:.3g} s"
            except Exception as error:
                problems[name] = f"failed: {type(error).__name__}: {error}"
        return self._merge(found, excluded, problems), problems

    def _merge(
        self,
        found: Mapping[str, ItemLists],
        excluded: np.ndarray,
        problems: dict[str, str],
    ) -> ScoredItems:
        """Takes the channels' first items, then their second, and so on."""
        ranks: dict[str, np.ndarray] = {}
        total = len(self._catalogue)
        for name, lists in found.items():
            ids = lists.item_id[0, : int(lists.length[0])]
            rows = self._catalogue.rows(ids)
            rank = np.full(total + 1, np.inf)
            # Backwards, so that of equal items the better place stays; what
            # is unknown goes to the last row.
            rank[rows[::-1]] = np.arange(len(rows), 0, -1)
            unknown = int((rows < 0).sum())
            if unknown:
                problems[name] = f"{unknown} items that are not known"
            ranks[name] = rank[:total]
        if not ranks:
            none = self._catalogue.item_id[:0]
            return ScoredItems(none, np.zeros(0))
        matrix = np.stack(list(ranks.values()), axis=1)
        unwanted = self._catalogue.rows(excluded)
        matrix[unwanted[unwanted >= 0]] = np.inf
        best = matrix.min(axis=1)
        rows = np.flatnonzero(np.isfinite(best))
        first = matrix[rows].argmin(axis=1)
        rows = rows[np.lexsort((first, best[rows]))]
        return ScoredItems(
            self._catalogue.item_id[rows],
            1.0 / best[rows],
            {CHANNELS: matrix[rows]},
            {CHANNELS: list(ranks)},
        )
