"""How often each video of KuaiRand was met before today."""

import collections

from jd_tf.data.sources.kuairand.kuairand_log import FEEDBACK, Impression

ITEM_COUNTERS = (
    "past_impressions",
    *(f"past_{name.removeprefix('is_')}s" for name in FEEDBACK),
)


class DailyCounts:
    """Counters that stand still during a day.

    What is shown at nine in the morning must not know what happened at ten;
    counters of the midnight before serve a whole day alike, as a nightly job
    would give them. An impression counts from the midnight after its end.

    Memory: a row for every video met.
    """

    def __init__(self) -> None:
        self._nothing = (0,) * len(ITEM_COUNTERS)
        self._known: dict[int, list[int]] = {}
        self._waiting: dict[int, dict[int, list[int]]] = {}

    def start_day(self, day: int) -> None:
        """Takes in everything that ended on days before."""
        for earlier in sorted(d for d in self._waiting if d < day):
            for item, counts in self._waiting.pop(earlier).items():
                known = self._known.setdefault(item, list(self._nothing))
                known[:] = (a + b for a, b in zip(known, counts, strict=True))

    def add(self, impression: Impression, day_of_end: int) -> None:
        """Keeps an impression for the day after its end."""
        waiting = self._waiting.setdefault(
            day_of_end, collections.defaultdict(lambda: list(self._nothing))
        )
        counts = waiting[impression.item]
        counts[0] += 1
        for place, value in enumerate(impression.feedback, 1):
            counts[place] += value

    def read(self, item: int) -> list[int] | tuple[int, ...]:
        """An item's counters, as `ITEM_COUNTERS`, at the last midnight."""
        return self._known.get(item, self._nothing)
