"""Recall: all channels side by side, each with the same deadline."""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

import numpy as np

from jd_tf.pipeline.catalogue import Catalogue
from jd_tf.pipeline.item_lists import ItemLists
from jd_tf.pipeline.recall.channel import RecallChannel
from jd_tf.pipeline.recall.merging import Merge
from jd_tf.pipeline.stages.stage import ScoredItems, UserRequest
from jd_tf.pipeline.stages.stage_threads import StageThreads
from jd_tf.schema import DataError

CHANNELS = "channels"


class RecallStage:
    """Asks every channel in a thread of its own and merges what came in time.

    A channel that fails or is late is left out. Items that the catalogue
    does not know are dropped: no later stage could rank them.

    Args:
        channels: each with a name of its own.
        catalogue: of all items.
        threads: that the calls run in.
        count: items that are passed on.
        per_channel: items asked of each channel.
        merging: of the lists; equal weights by default. Channels that did not
            answer have neither weight nor quota.
        excluded_behaviors: items of these histories are not brought.

    Raises:
        DataError: for names that channels share, weights and quotas of none,
            or more places kept than there are.
    """

    name = "recall"

    def __init__(
        self,
        channels: Sequence[RecallChannel],
        catalogue: Catalogue,
        threads: StageThreads,
        count: int = 1000,
        per_channel: int = 500,
        merging: Merge | None = None,
        excluded_behaviors: Sequence[str] = (),
    ):
        self.channels = tuple(channels)
        self._catalogue = catalogue
        self._threads = threads
        self.count = count
        self._per_channel = per_channel
        self._merging = merging or Merge()
        self._behaviors = tuple(excluded_behaviors)
        names = [channel.name for channel in self.channels]
        if len(set(names)) < len(names):
            raise DataError(f"channels need different names. Got: {names}.")
        try:
            self._merging.check(names, count)
        except ValueError as error:
            raise DataError(f"recall: {error}") from error

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
        try:
            for name, lists in found.items():
                found[name], twice = _each_once(lists)
                if twice:
                    problems[name] = f"{twice} items twice"
            return self._merge(found, excluded, problems), problems
        except Exception as error:
            # Whatever a channel answered: the user gets the fallback list.
            problems["merge"] = f"failed: {type(error).__name__}: {error}"
            return self._nothing(), problems

    def _nothing(self) -> ScoredItems:
        return ScoredItems(self._catalogue.item_id[:0], np.zeros(0))

    def _merge(
        self,
        found: Mapping[str, ItemLists],
        excluded: np.ndarray,
        problems: dict[str, str],
    ) -> ScoredItems:
        """Merges by `Merge`, without channels that did not answer."""
        if not found:
            return self._nothing()
        weights, quotas = self._merging.weights, self._merging.quotas
        merge = dataclasses.replace(
            self._merging,
            weights={name: weights[name] for name in weights if name in found},
            quotas={name: quotas[name] for name in quotas if name in found},
        )
        filters = {"excluded": excluded[None]}
        merged = merge(found, self.count, filters)
        ids = merged.items.item_id[0, : int(merged.items.length[0])]
        known = self._catalogue.rows(ids) >= 0
        if not known.all():
            names = np.array(merged.channels)
            brought = (merged.ranks[0, : len(ids)][~known] > 0).any(axis=0)
            for name in names[brought].tolist():
                problems[name] = "items that the catalogue does not know"
        score = merged.items.score[0, : len(ids)]
        return ScoredItems(
            ids[known],
            score[known],
            {CHANNELS: merged.ranks[0, : len(ids)][known]},
            {CHANNELS: list(merged.channels)},
        )


def _each_once(lists: ItemLists) -> tuple[ItemLists, int]:
    """Returns a list with each item once, and how many came again."""
    ids = lists.item_id[0, : int(lists.length[0])]
    _, first = np.unique(ids, return_index=True)
    twice = len(ids) - len(first)
    if not twice:
        return lists, 0
    first.sort()
    length = np.array([len(first)], np.int32)
    return ItemLists(ids[first][None], lists.score[:, first], length), twice
