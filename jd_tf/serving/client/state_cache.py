"""Encoded users, kept for a while."""

import collections
import threading
import time
from collections.abc import Callable, Hashable

from jd_tf.serving.client.errors import RequestError
from jd_tf.serving.client.user_state import UserState


class StateCache:
    """The users met last, bounded in number, memory and time.

    Args:
        max_users: states kept at most; 0 keeps none.
        max_bytes: memory of their tensors at most.
        seconds: how long a state is good for.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        max_users: int = 10_000,
        max_bytes: int = 2**30,
        seconds: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
    ):
        if max_users < 0 or max_bytes < 0 or not seconds >= 0:
            raise RequestError(
                "the cache's bounds are not negative. Got: "
                f"max_users={max_users}, max_bytes={max_bytes}, "
                f"seconds={seconds}."
            )
        self.max_users, self.max_bytes = max_users, max_bytes
        self.seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._states: collections.OrderedDict = collections.OrderedDict()
        self._met: collections.OrderedDict = collections.OrderedDict()
        self._bytes = 0
        self._counts: collections.Counter = collections.Counter()

    def get(self, key: Hashable) -> UserState | None:
        """The state, if it is there and still good."""
        now = self._clock()
        with self._lock:
            state, until = self._states.get(key, (None, 0.0))
            if state is not None and now >= until:
                self._drop(key)
                self._counts["expirations"] += 1
                state = None
            if state is None:
                self._counts["misses"] += 1
                return None
            self._counts["hits"] += 1
            self._states.move_to_end(key)
            return state

    def put(self, key: Hashable, state: UserState) -> None:
        """Keeps a state; those used longest ago make room."""
        until = self._clock() + self.seconds
        with self._lock:
            if key in self._states:
                self._drop(key)
            if not self.max_users or state.num_bytes > self.max_bytes:
                return
            self._states[key] = state, until
            self._bytes += state.num_bytes
            while (
                len(self._states) > self.max_users
                or self._bytes > self.max_bytes
            ):
                self._drop(next(iter(self._states)))
                self._counts["evictions"] += 1

    def met(self, key: Hashable) -> bool:
        """Whether this was asked of the same key before; notes it."""
        with self._lock:
            known = key in self._met
            self._met[key] = None
            self._met.move_to_end(key)
            if len(self._met) > self.max_users:
                self._met.popitem(last=False)
            return known and self.max_users > 0

    def clear(self) -> None:
        """Forgets all states."""
        with self._lock:
            self._states.clear()
            self._met.clear()
            self._bytes = 0

    def stats(self) -> dict[str, float]:
        """Hits, misses, evictions, expirations, users, bytes, hit rate."""
        with self._lock:
            counts = {
                name: self._counts[name]
                for name in ("hits", "misses", "evictions", "expirations")
            }
            asked = counts["hits"] + counts["misses"]
            return {
                **counts,
                "users": len(self._states),
                "bytes": self._bytes,
                "hit_rate": counts["hits"] / asked if asked else 0.0,
            }

    def _drop(self, key: Hashable) -> None:
        state, _ = self._states.pop(key)
        self._bytes -= state.num_bytes
