"""Items known before a request, their counters, and draws of negatives."""

import array
import collections
import random
from collections.abc import Container, Sequence

_TRIES_PER_ITEM = 50


class NegativeSampler:
    """Draws negatives among the items that a log has shown so far.

    Everything added at one time counts from the next time on, never at its
    own: an event cannot be seen in the counters that go with it.

    A draw picks one of the arrivals so far, each equally likely, and takes
    its item: popularity-weighted in constant time, whatever the number of
    items. It needs 8 bytes an arrival. The first counter is of arrivals.
    """

    def __init__(self, counters: Sequence[str]):
        self._rows: dict[int, int] = {}  # Item -> its index in the arrays
        self._items = array.array("q")
        self._counts: list[list[int]] = []
        self._nothing = [0] * len(counters)
        self._arrivals = array.array("i")
        self._arrivals_in: dict[int, array.array] = collections.defaultdict(
            lambda: array.array("i")
        )
        self._waiting: list[tuple[int, int, int]] = []
        self._now: float | None = None

    def __contains__(self, item: int) -> bool:
        return self.counts(item)[0] > 0

    def advance(self, now: float) -> None:
        """Moves to a time; events added at earlier ones count now."""
        if now == self._now:
            return
        for item, category, counter in self._waiting:
            row = self._rows.setdefault(item, len(self._items))
            if row == len(self._items):
                self._items.append(item)
                self._counts.append(self._nothing.copy())
            self._counts[row][counter] += 1
            if counter == 0:
                self._arrivals.append(row)
                self._arrivals_in[category].append(row)
        self._waiting.clear()
        self._now = now

    def add(self, item: int, category: int, counter: int = 0) -> None:
        """Counts an event of the present time; counter 0 is of arrivals."""
        self._waiting.append((item, category, counter))

    def counts(self, item: int) -> list[int]:
        """Returns the item's counters from before the present time."""
        row = self._rows.get(item)
        return list(self._nothing if row is None else self._counts[row])

    def category_visits(self, category: int) -> int:
        """Returns the arrivals at a category's items before the present."""
        return len(self._arrivals_in.get(category, ()))

    def draw(
        self,
        generator: random.Random,
        num_items: int,
        category: int,
        same_category_share: float,
        excluded: Container[int],
    ) -> list[int] | None:
        """Draws distinct items, popular ones more often; None if too few."""
        drawn: dict[int, None] = {}
        within = self._arrivals_in.get(category, self._arrivals)
        for _ in range(num_items):
            same = generator.random() < same_category_share
            pools = (within, self._arrivals) if same else (self._arrivals,)
            tries = (
                self._items[pool[int(generator.random() * len(pool))]]
                for pool in pools
                for _ in range(_TRIES_PER_ITEM if pool else 0)
            )
            item = next(
                (i for i in tries if i not in drawn and i not in excluded), None
            )
            if item is None:
                return None
            drawn[item] = None
        return list(drawn)
