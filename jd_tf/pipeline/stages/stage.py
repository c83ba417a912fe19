"""The contract of a stage that orders items, and what stages pass on."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np


@dataclasses.dataclass(frozen=True)
class UserRequest:
    """One user at one moment, as stages take it.

    Attributes:
        columns: checked, unpadded history and request columns.
        batch: the same as a padded batch of one request.
        pins: place from 0 -> raw id of the item pinned there.
    """

    columns: Mapping[str, np.ndarray]
    batch: Mapping[str, np.ndarray]
    pins: Mapping[int, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class ScoredItems:
    """Items of one request, best first.

    Attributes:
        item_id: (n,) raw ids.
        score: (n,) of the stage that ordered them.
        notes: what the stage knows of each item: name -> n entries.
        facts: what it knows of the request: name -> value.
    """

    item_id: np.ndarray
    score: np.ndarray
    notes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.item_id)

    def take(self, places: np.ndarray) -> "ScoredItems":
        """Returns the items at these places, in their order.

        Items beyond the entries of a note have None there.
        """
        notes = {
            name: values[places]
            if isinstance(values, np.ndarray)
            and len(values) == len(self.item_id)
            else [values[n] if n < len(values) else None for n in places]
            for name, values in self.notes.items()
        }
        ids, score = self.item_id[places], self.score[places]
        return dataclasses.replace(self, item_id=ids, score=score, notes=notes)


class RankingStage(Protocol):
    """Orders items that a cheaper stage brought.

    Called from many threads. It may raise, hang, and answer with unknown
    items, items twice or too few: the recommender falls back on the order
    that it was given, and reports that.

    Attributes:
        name: of the stage, in traces; unlike any other of a chain.
    """

    name: str

    def order(
        self,
        request: UserRequest,
        items: ScoredItems,
        count: int,
        seconds: float,
    ) -> ScoredItems:
        """Returns the `count` best of `items`, best first.

        Args:
            request: of the user.
            items: to be ordered, best first by the stage before.
            count: items wanted; a stage may return more.
            seconds: after these nobody waits for the answer.
        """
        ...


@runtime_checkable
class ExplainingStage(Protocol):
    """A stage that can tell which events of the histories it looks at."""

    def attention(
        self, request: UserRequest, item_id: np.ndarray, seconds: float
    ) -> dict[str, np.ndarray]:
        """Returns (n, L) attention of n items to each history that has any."""
        ...
