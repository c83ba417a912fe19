"""Cached user states, and the key they are found by."""

import hashlib
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import NamedTuple

import numpy as np

from jd_tf.serving.client.errors import RequestError

State = Mapping[str, np.ndarray]


def fingerprint(
    request: Mapping[str, np.ndarray], names: Iterable[str]
) -> bytes:
    """Returns a hash of columns of a checked request: a user state's key."""
    digest = hashlib.blake2b(digest_size=16)
    for name in names:
        array = request[name]
        # Names and shapes keep neighbours from running into each other.
        digest.update(f"\0{name}{array.shape}".encode())
        if array.dtype == object:
            for text in array.flat:
                digest.update(f"{len(text)}:".encode())
                digest.update(text)
        else:
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.digest()


class _Entry(NamedTuple):
    tensors: State
    num_bytes: int
    until: float
    moment: int


class StateCache:
    """The user states used last, bounded in number, memory and time.

    A key has the version, which alone knows the state. Those of a model that
    is not `reusable` are good at the request's moment that they were made at,
    give or take a tolerance; others are all of moment 0.
    """

    def __init__(
        self,
        max_users: int = 10_000,
        max_bytes: int = 2**30,
        seconds: float = 3600.0,
        clock: Callable[[], float] = time.monotonic,
        tolerance: float = 0.0,
    ):
        bounds = (max_users, max_bytes, seconds, tolerance)
        if not all(bound >= 0 for bound in bounds):
            raise RequestError(
                "the cache's bounds are not negative. Got: "
                f"max_users={max_users}, max_bytes={max_bytes}, "
                f"seconds={seconds}, tolerance={tolerance}."
            )
        self._max_users, self._max_bytes = max_users, max_bytes
        self._seconds, self._tolerance = seconds, tolerance
        self._clock = clock
        self._lock = threading.Lock()
        self._states: OrderedDict[Hashable, _Entry] = OrderedDict()
        self._met: OrderedDict[Hashable, None] = OrderedDict()
        self._bytes = 0
        self._counts: Counter[str] = Counter()

    def get(self, key: Hashable, moment: int = 0) -> State | None:
        """Returns the state, if it is there and good at the moment."""
        now = self._clock()
        with self._lock:
            entry = self._states.get(key)
            if entry is not None and (
                now >= entry.until
                or abs(moment - entry.moment) > self._tolerance
            ):
                self._drop(key)
                self._counts["expirations"] += 1
            if key not in self._states:
                self._counts["misses"] += 1
                return None
            self._counts["hits"] += 1
            self._states.move_to_end(key)
            return self._states[key].tensors

    def put(self, key: Hashable, state: State, moment: int = 0) -> None:
        """Caches a state; those used longest ago make room."""
        num_bytes = sum(array.nbytes for array in state.values())
        entry = _Entry(state, num_bytes, self._clock() + self._seconds, moment)
        with self._lock:
            if key in self._states:
                self._drop(key)
            if not self._max_users or num_bytes > self._max_bytes:
                return
            self._states[key] = entry
            self._bytes += num_bytes
            while (
                len(self._states) > self._max_users
                or self._bytes > self._max_bytes
            ):
                self._drop(next(iter(self._states)))
                self._counts["evictions"] += 1

    def met(self, key: Hashable) -> bool:
        """Returns whether this was called with the same key; notes it."""
        with self._lock:
            known = key in self._met
            self._met[key] = None
            self._met.move_to_end(key)
            if len(self._met) > self._max_users:
                self._met.popitem(last=False)
            return known and self._max_users > 0

    def stats(self) -> dict[str, float]:
        """Hits, misses, evictions, expirations, users, bytes, hit rate."""
        with self._lock:
            names = ("hits", "misses", "evictions", "expirations")
            counts = {name: self._counts[name] for name in names}
            lookups = max(counts["hits"] + counts["misses"], 1)
            return {
                **counts,
                "users": len(self._states),
                "bytes": self._bytes,
                "hit_rate": counts["hits"] / lookups,
            }

    def _drop(self, key: Hashable) -> None:
        self._bytes -= self._states.pop(key).num_bytes
