"""The feedback log of KuaiRand, and the state after some impressions."""

import bisect
import collections
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jd_tf.data.log_report import LogReport
from jd_tf.data.sources.text_files import NO_LIMIT, TextTable, whole_numbers
from jd_tf.schema import DataError, Schema

FEEDBACK = (
    "is_click",
    "long_view",
    "is_profile_enter",
    "is_comment",
    "is_forward",
    "is_follow",
)
_PLURALS = [f"{name.removeprefix('is_')}s" for name in FEEDBACK]
SESSION_DENSE = (
    "session_seconds",
    "session_impressions",
    "session_play_seconds",
    "session_comment_seconds",
    *(f"session_{name}" for name in _PLURALS),
)
_RATES = [f"{name.removeprefix('is_')}_rate" for name in FEEDBACK]
USER_RATES = tuple(f"user_{name}" for name in _RATES)
ITEM_RATES = tuple(f"past_{name}" for name in _RATES)
USER_DENSE = ("user_impressions", *USER_RATES)
ITEM_DENSE = (
    "past_impressions",
    *(f"past_{name}" for name in _PLURALS),
    *ITEM_RATES,
)
# Impressions at the rate of all videos and users that an id starts with.
_STRENGTH = 20.0
# Behaviour -> whether an impression is kept in it, by its feedback.
_KEPT: dict[str, Callable[[tuple[int, ...]], bool]] = {
    "click": lambda feedback: bool(feedback[0]),
    "profile_enter": lambda feedback: bool(feedback[2]),
    "comment": lambda feedback: bool(feedback[3]),
    "skip": lambda feedback: not any(feedback[:2]),
}
TAB = "tab"
_LIMITS = {
    "user_id": (1, NO_LIMIT),
    "video_id": (1, NO_LIMIT),
    "time_ms": (0, NO_LIMIT),
    "play_time_ms": (0, NO_LIMIT),
    "duration_ms": (0, NO_LIMIT),
    "comment_stay_time": (0, NO_LIMIT),
    **dict.fromkeys(FEEDBACK, (0, 1)),
    TAB: (0, NO_LIMIT),
}
# Of 2001 to 2096: seconds or days in the column would fall outside.
_TIMES = range(10**12, 4 * 10**12)


class Impression(NamedTuple):
    """One line of the log: a video shown to a user, with the feedback."""

    time: float  # Seconds since 1970 at which it was shown
    user: int  # User id
    item: int  # Video id
    feedback: tuple[int, ...]  # 0 or 1 for each of `FEEDBACK`
    play: float  # Seconds it was played
    comment_stay: float  # Seconds its comments were open
    duration: float  # Seconds it lasts, 0 where unknown
    tab: int  # Number of the scenario, from 0; -1 where the log has none

    @property
    def end(self) -> float:
        """Time at which all its feedback was known."""
        return self.time + self.play + self.comment_stay


def open_log(path: Path) -> TextTable:
    """Opens a file of impressions; with `TAB` where it names the scenario."""
    columns = [column for column in _LIMITS if column != TAB]
    remedy = "Name the folder of a KuaiRand log."
    return TextTable(path, columns, optional=(TAB,), remedy=remedy)


def read_impressions(
    table: TextTable, report: LogReport
) -> Iterator[Impression]:
    """Reads a file once, front to back, in the order of time."""
    return table.records(report, _parse, sorted_by="time_ms")


def _parse(values: list[str]) -> Impression:
    numbers = whole_numbers(_LIMITS, values)
    user, item, time, play, duration, stay, *rest = numbers
    if time not in _TIMES:
        raise DataError(
            f"column `time_ms` must be milliseconds since 1970. Got: {time}"
        )
    feedback, tab = tuple(rest[: len(FEEDBACK)]), rest[len(FEEDBACK) :]
    spans = (time, play, stay, duration)
    shown, played, stayed, lasts = (number / 1000 for number in spans)
    place = tab[0] if tab else -1
    return Impression(shown, user, item, feedback, played, stayed, lasts, place)


class Viewer:
    """State of one user after some impressions of the log.

    An impression counts once it is over: while it plays, its length and its
    feedback are not known yet. It keeps as many impressions as the histories
    hold, and those still playing.
    """

    def __init__(self, schema: Schema, session_gap: float):
        self._behaviors = schema.behaviors
        self._session_gap = session_gap
        # Those still playing take places of the histories' own.
        playing = schema.max_candidates
        self._events: dict[str, collections.deque[Impression]] = {
            b.name: collections.deque(maxlen=b.max_length + playing)
            for b in schema.behaviors
        }
        # The first impression starts a session.
        self._session_end = -math.inf

    def record(self, impression: Impression) -> None:
        """Adds an impression, the latest so far."""
        self._start_session_if_due(impression.time)
        self._session_end = max(self._session_end, impression.end)
        self._playing.append(impression)
        for behavior, keeps in _KEPT.items():
            if keeps(impression.feedback):
                self._events[behavior].append(impression)

    def columns(self, now: float) -> dict[str, np.ndarray]:
        """Returns `session_dense` and histories, newest first, as known now."""
        self._start_session_if_due(now)
        found = {"session_dense": self._session_dense(now)}
        for behavior in self._behaviors:
            events = [e for e in self._events[behavior.name] if e.end <= now]
            events = events[: -behavior.max_length - 1 : -1]
            name = behavior.name
            found[f"{name}_item_id"] = np.array(
                [event.item for event in events], np.int64
            )
            found[f"{name}_event_time"] = np.array(
                [int(event.time) for event in events], np.int64
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
            self._session_start = self._session_end = now
            self._session = np.zeros(len(SESSION_DENSE) - 1)
            self._playing: list[Impression] = []

    def _session_dense(self, now: float) -> np.ndarray:
        for event in self._playing:
            if event.end <= now:
                stay = event.comment_stay
                self._session += (1.0, event.play, stay, *event.feedback)
        self._playing = [e for e in self._playing if e.end > now]
        return np.array([now - self._session_start, *self._session], np.float32)


class PastCounts:
    """Impressions and feedback of videos or users, before any time of a day.

    An impression counts once it is over. Whatever is read for one request is
    read as of its first moment, so that none of its own impressions counts.
    Memory: a row an id, and the times of a day.
    """

    def __init__(self) -> None:
        size = 1 + len(FEEDBACK)
        self._known = collections.defaultdict[int, list[int]](
            lambda: [0] * size
        )
        # Id -> times at which impressions, and each feedback, were over.
        self._today = collections.defaultdict[int, list[list[float]]](
            lambda: [[] for _ in range(size)]
        )

    def settle(self, now: float) -> None:
        """Keeps sums alone of what was over before; nothing earlier is read."""
        for one in list(self._today):
            waiting = self._today[one]
            known = self._known[one]
            for place, times in enumerate(waiting):
                over = bisect.bisect_left(times, now)
                known[place] += over
                del times[:over]
            if not waiting[0]:
                del self._today[one]

    def add(self, one: int, impression: Impression) -> None:
        """Counts an impression for an id, and for the sum of all ids."""
        happened = (1, *impression.feedback)
        for key in (one, _ALL):
            for times, count in zip(self._today[key], happened, strict=True):
                if count:
                    bisect.insort(times, impression.end)

    def read(self, one: int, now: float) -> list[int]:
        """Returns the impressions before a time and each feedback of them."""
        known = self._known.get(one, [0] * (1 + len(FEEDBACK)))
        if one not in self._today:
            return list(known)
        times = self._today[one]
        return [
            count + bisect.bisect_left(part, now)
            for count, part in zip(known, times, strict=True)
        ]

    def rates(self, one: int, now: float) -> list[float]:
        """Returns the rate of each feedback, drawn to that of all ids."""
        shown, *happened = self.read(one, now)
        shown_of_all, *of_all = self.read(_ALL, now)
        share = _STRENGTH / max(shown_of_all, 1)
        return [
            (count + share * mean) / (shown + _STRENGTH)
            for count, mean in zip(happened, of_all, strict=True)
        ]


_ALL = 0  # Ids count from 1.
