"""State of one user of a log: histories, and the session so far."""

import collections
import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from jd_tf.schema import UNKNOWN_DWELL, Behavior, Schema


class Action(NamedTuple):
    """The meaning of one kind of logged action."""

    counter: int = -1  # Index of the visit's counter it adds to, -1 for none
    # Index of the objective it fulfils, or -1; whatever fulfils one fulfils the
    # first, `click`, too.
    objective: int = 0
    behavior: str = ""  # History it is kept in besides the visits, "" for none


class Event(NamedTuple):
    """One line of a log."""

    item: int  # Id of the product
    time: float  # Seconds, on any clock
    action: Action  # Meaning of the event
    action_id: int = 0  # Fine-grained id of it, 0 for none
    # Seconds the log gives for the whole visit, or `UNKNOWN_DWELL`.
    dwell: float = UNKNOWN_DWELL


@dataclasses.dataclass(slots=True, eq=False)
class Visit:
    """A stay with one product: its events with none of another between."""

    item: int
    time: float
    dwell: float
    counts: list[int]
    action_ids: list[int] = dataclasses.field(default_factory=list)


class UserHistory:
    """State of one user after some events of the log.

    The schema's first behaviour is the visits. Memory: 350 bytes a visit.
    """

    def __init__(self, schema: Schema, user_id: int | str):
        self.user_id = user_id
        self._visits, *self._kept = schema.behaviors
        self._num_objectives = len(schema.objectives)
        self._past_visits: collections.deque[Visit] = collections.deque(
            maxlen=self._visits.max_length
        )
        self._events: dict[str, collections.deque[tuple[int, float]]] = {
            behavior.name: collections.deque(maxlen=behavior.max_length)
            for behavior in self._kept
        }
        self.start_session()

    def start_session(self) -> None:
        """Forgets the session, keeps the histories."""
        self.visit: Visit | None = None
        self.position = 0  # Number of events in this session
        self.session_start: float | None = None
        self.session_visits = 0
        self.session_counts = [0] * len(self._visits.action_counters)
        # Item -> per objective, the position of its last fulfilment, or -1.
        self.touched: dict[int, list[int]] = {}
        # (position, candidates, request) of those that wait for their labels.
        self.open_requests: list = []

    def starts_visit(self, event: Event) -> bool:
        """Returns True where the event takes the user to another product."""
        return self.visit is None or self.visit.item != event.item

    @property
    def latest_item(self) -> int | None:
        """The product visited last, in this session or before."""
        return self._past_visits[-1].item if self._past_visits else None

    def known_items(self) -> set[int]:
        """Returns the products in the histories or touched in this session."""
        known = {visit.item for visit in self._past_visits}
        for events in self._events.values():
            known.update(item for item, _ in events)
        return known.union(self.touched)

    def record(self, event: Event) -> None:
        """Adds an event, the latest so far."""
        action = event.action
        if self.session_start is None:
            self.session_start = event.time
        if self.starts_visit(event):
            counts = [0] * len(self.session_counts)
            self.visit = Visit(event.item, event.time, event.dwell, counts)
            self._past_visits.append(self.visit)
            self.session_visits += 1
        if action.counter >= 0:
            self.session_counts[action.counter] += 1
        if self.visit is not None and self.visit.item == event.item:
            if action.counter >= 0:
                self.visit.counts[action.counter] += 1
            ids, new = self.visit.action_ids, event.action_id
            free = len(ids) < len(self._visits.action_slots)
            if new and free and new not in ids:
                ids.append(new)
        if action.behavior:
            self._events[action.behavior].append((event.item, event.time))
        last = self.touched.setdefault(event.item, [-1] * self._num_objectives)
        if action.objective >= 0:
            last[0] = last[action.objective] = self.position
        self.position += 1

    def session_dense(self, now: float) -> np.ndarray:
        """Returns the session so far: seconds, visits, products, counters."""
        start = now if self.session_start is None else self.session_start
        values = [now - start, self.session_visits, len(self.touched)]
        return np.array([*values, *self.session_counts], np.float32)

    def histories(
        self, now: float, clock: int
    ) -> Iterator[tuple[Behavior, list[int], dict[str, np.ndarray]]]:
        """Yields each behaviour, its items newest first, columns beside ids.

        Times are on a clock that shows `clock` now.
        """
        visits = list(reversed(self._past_visits))
        times = np.array([visit.time for visit in visits], np.float64)
        name = self._visits.name
        columns = {f"{name}_event_time": _whole(times + (clock - now))}
        if self._visits.dwell:
            # A page may stay open beyond now: its dwell is not known yet.
            dwell = np.array([visit.dwell for visit in visits], np.float32)
            dwell[times + dwell > now] = UNKNOWN_DWELL
            columns[f"{name}_dwell_seconds"] = dwell
        if width := len(self._visits.action_counters):
            columns[f"{name}_action_counts"] = np.array(
                [visit.counts for visit in visits], np.float32
            ).reshape(len(visits), width)
        if slots := len(self._visits.action_slots):
            # 0 pads.
            ids = [(visit.action_ids + [0] * slots)[:slots] for visit in visits]
            columns[f"{name}_action_ids"] = np.array(ids, np.int64).reshape(
                len(visits), slots
            )
        yield self._visits, [visit.item for visit in visits], columns
        for behavior in self._kept:
            events = list(reversed(self._events[behavior.name]))
            times = np.array([time for _, time in events], np.float64)
            whole = _whole(times + (clock - now))
            items = [item for item, _ in events]
            yield behavior, items, {f"{behavior.name}_event_time": whole}


def _whole(times: np.ndarray) -> np.ndarray:
    """Returns seconds as the records have them."""
    return np.floor(times).astype(np.int64)
