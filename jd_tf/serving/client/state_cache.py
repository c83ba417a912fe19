"""Cached user states, and the key they are found by."""

import collections
import dataclasses
import hashlib
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Mapping

import numpy as np

from jd_tf.serving.client.errors import RequestError

_KEY_BYTES = 16


def fingerprint(
    request: Mapping[str, np.ndarray], names: Iterable[str]
) -> bytes:
    """Returns a hash of columns: the key of a user state.

    Args:
        request: checked, unpadded.
        names: the columns that `encode_user` takes: the histories.
    """
    digest = hashlib.blake2b(digest_size=_KEY_BYTES)
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


@dataclasses.dataclass(frozen=True)
class UserState:
    """The answer of `encode_user`, for `rank_candidates` of one version.

    Attributes:
        version: of the weights it was made with; no other can read it.
        tensors: arrays by name.
    """

    version: int
    tensors: Mapping[str, np.ndarray]

    @property
    def num_bytes(self) -> int:
        """Memory it takes."""
        return sum(array.nbytes for array in self.tensors.values())


class StateCache:
    """The states used last, bounded in number, memory and time.

    Args:
        max_users: states at most; 0 caches none.
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
        """Returns the state, if it is there and still good."""
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
        """Caches a state; those used longest ago make room."""
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
        """Returns whether this was called with the same key; notes it."""
        with self._lock:
            known = key in self._met
            self._met[key] = None
            self._met.move_to_end(key)
            if len(self._met) > self.max_users:
                self._met.popitem(last=False)
            return known and self.max_users > 0

    def stats(self) -> dict[str, float]:
        """Hits, misses, evictions, expirations, users, bytes, hit rate."""
        with self._lock:
            counts = {
                name: self._counts[name]
                for name in ("hits", "misses", "evictions", "expirations")
            }
            lookups = counts["hits"] + counts["misses"]
            return {
                **counts,
                "users": len(self._states),
                "bytes": self._bytes,
                "hit_rate": counts["hits"] / lookups if lookups else 0.0,
            }

    def _drop(self, key: Hashable) -> None:
        state, _ = self._states.pop(key)
        self._bytes -= state.num_bytes
