"""The items known before a moment, how often they were met, and draws."""

import array
import random
from collections.abc import Container, Sequence

_TRIES_PER_ITEM = 50


class PastItems:
    """What a log has shown so far; the only place negatives come from.

    Everything added at a moment counts from the next moment on, never at
    its own: an event cannot be seen in the counters that go with it.

    A draw picks one of the arrivals so far, each equally likely, and takes
    its item: popularity-weighted in constant time, whatever the number of
    items. It needs 8 bytes an arrival.

    Args:
        counters: what is counted per item; the first counts arrivals.
    """

    def __init__(self, counters: Sequence[str]):
        self.counters = tuple(counters)
        self._rows: dict[int, int] = {}
        self._items = array.array("q")
        self._counts = [array.array("i") for _ in self.counters]
        self._arrivals = array.array("i")
        self._arrivals_in: dict[int, array.array] = {}
        self._waiting: list[tuple[int, int, int]] = []
        self._moment: float | None = None

    def __contains__(self, item: int) -> bool:
        row = self._rows.get(item)
        return row is not None and self._counts[0][row] > 0

    def __len__(self) -> int:
        return len(self._items)

    def advance(self, moment: float) -> None:
        """Moves to a moment; what was added at earlier ones counts now."""
        if moment == self._moment:
            return
        for item, category, counter in self._waiting:
            row = self._rows.setdefault(item, len(self._items))
            if row == len(self._items):
                self._items.append(item)
                for counts in self._counts:
                    counts.append(0)
            self._counts[counter][row] += 1
            if counter == 0:
                self._arrivals.append(row)
                rows = self._arrivals_in.setdefault(category, array.array("i"))
                rows.append(row)
        self._waiting.clear()
        self._moment = moment

    def add(self, item: int, category: int, counter: int = 0) -> None:
        """Counts an event of the present moment.

        Args:
            item: the item's id.
            category: the item's category.
            counter: index of what happened; 0 is an arrival.
        """
        self._waiting.append((item, category, counter))

    def counts(self, item: int) -> list[int]:
        """The item's counters as they stood before the present moment."""
        row = self._rows.get(item)
        if row is None:
            return [0] * len(self._counts)
        return [counts[row] for counts in self._counts]

    def draw(
        self,
        generator: random.Random,
        num_items: int,
        category: int,
        same_category_share: float,
        excluded: Container[int],
    ) -> list[int] | None:
        """Draws distinct items, popular ones more often.

        Args:
            generator: source of randomness.
            num_items: how many.
            category: the category that some are drawn from.
            same_category_share: probability that one is drawn from that
                category alone; where it has too few items, all are used.
            excluded: items not to be drawn.

        Returns:
            The items, or None if too few are known.
        """
        drawn: list[int] = []
        taken = set()
        within = self._arrivals_in.get(category, self._arrivals)
        for _ in range(num_items):
            same = generator.random() < same_category_share
            pools = (within, self._arrivals) if same else (self._arrivals,)
            for pool in pools:
                item = self._draw_one(generator, pool, taken, excluded)
                if item is not None:
                    break
            else:
                return None
            drawn.append(item)
            taken.add(item)
        return drawn

    def _draw_one(
        self,
        generator: random.Random,
        pool: array.array,
        taken: set[int],
        excluded: Container[int],
    ) -> int | None:
        for _ in range(_TRIES_PER_ITEM if pool else 0):
            item = self._items[pool[int(generator.random() * len(pool))]]
            if item not in taken and item not in excluded:
                return item
        return None
