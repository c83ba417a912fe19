"""State of viewers and videos of KuaiRand after some impressions."""

import collections
import math

import numpy as np

from jd_tf.data.sources.kuairand.kuairand_log import FEEDBACK, Impression
from jd_tf.schema import Schema

SESSION_DENSE = (
    "session_seconds",
    "session_impressions",
    "session_play_seconds",
    "session_comment_seconds",
    *(f"session_{name.removeprefix('is_')}s" for name in FEEDBACK),
)
ITEM_COUNTERS = (
    "past_impressions",
    *(f"past_{name.removeprefix('is_')}s" for name in FEEDBACK),
)
_NOTHING = np.zeros(len(SESSION_DENSE) - 1)


class Viewer:
    """State of one user after some impressions of the log.

    An impression counts once it is over: while it plays, its length and its
    feedback are not known yet. Memory is bounded: as many
    impressions as the histories hold, and those still playing.

    Args:
        schema: its behaviours are kept.
        kept: behaviour -> the place in `FEEDBACK` that puts an impression
            into it.
        session_gap: seconds without an impression that end a session.
    """

    def __init__(
        self, schema: Schema, kept: dict[str, int], session_gap: float
    ):
        self._behaviors = schema.behaviors
        self._kept = kept
        self._session_gap = session_gap
        # Those still playing take places of the histories' own.
        playing = schema.max_candidates
        self._events: dict[str, collections.deque[Impression]] = {
            b.name: collections.deque(maxlen=b.max_length + playing)
            for b in schema.behaviors
        }
        self._playing: list[Impression] = []
        self._session_start = 0.0
        # The first impression starts a session.
        self._session_end = -math.inf
        self._session = _NOTHING.copy()

    def record(self, impression: Impression) -> None:
        """Adds an impression, the latest so far."""
        self._start_session_if_due(impression.time)
        self._session_end = max(self._session_end, impression.end)
        self._playing.append(impression)
        for behavior, place in self._kept.items():
            if impression.feedback[place]:
                self._events[behavior].append(impression)

    def columns(self, now: float) -> dict[str, np.ndarray]:
        """Returns histories and session as known at a time.

        Args:
            now: seconds; not before the latest impression.

        Returns:
            `session_dense`, and the columns of every behaviour, newest first.
        """
        self._start_session_if_due(now)
        found = {"session_dense": self._session_dense(now)}
        for behavior in self._behaviors:
            events = [e for e in self._events[behavior.name] if e.end <= now]
            events = events[: -behavior.max_length - 1 : -1]
            name = behavior.name
            found[f"{name}_item_id"] = np.array(
                [event.item for event in events], np.int64
            )
            found[f"{name}_age_seconds"] = np.array(
                [now - event.time for event in events], np.float32
            )
            if behavior.dwell:
                found[f"{name}_dwell_seconds"] = np.array(
                    [event.play for event in events], np.float32
                )
            if behavior.action_counters:
                counts = [(*e.feedback[1:], e.comment_stay) for e in events]
                found[f"{name}_action_counts"] = np.array(
                    counts, np.float32
                ).reshape(len(events), len(behavior.action_counters))
        return found

    def _start_session_if_due(self, now: float) -> None:
        if now - self._session_end > self._session_gap:
            self._session_start = now
            self._session_end = now
            self._session = _NOTHING.copy()
            self._playing = []

    def _session_dense(self, now: float) -> np.ndarray:
        playing = []
        for event in self._playing:
            if event.end <= now:
                self._session += (
                    1.0,
                    event.play,
                    event.comment_stay,
                    *event.feedback,
                )
            else:
                playing.append(event)
        self._playing = playing
        return np.array([now - self._session_start, *self._session], np.float32)


class DailyCounts:
    """Counters of videos that stand still during a day.

    A request of nine in the morning must not know the events of ten; the
    counters of the midnight before serve a whole day alike, as a nightly job
    would give them. An impression counts from the midnight after its end.

    Memory: a row for every video met.
    """

    def __init__(self) -> None:
        self._nothing = (0,) * len(ITEM_COUNTERS)
        self._known: dict[int, list[int]] = {}
        self._waiting: dict[int, dict[int, list[int]]] = {}

    def start_day(self, day: int) -> None:
        """Adds everything that ended on days before."""
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
        """Returns an item's `ITEM_COUNTERS` of the last midnight."""
        return self._known.get(item, self._nothing)
