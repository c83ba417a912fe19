"""The content of the cache, and its age."""

import threading

import numpy as np
import pytest

from jd_tf.serving.client.errors import RequestError
from jd_tf.serving.client.state_cache import StateCache


def state(number=0, size=4):
    return {"user_state_x": np.full(size, number, "float32")}


def test_what_was_used_longest_ago_goes_first():
    cache = StateCache(max_users=2)
    for key in "ab":
        cache.put(key, state())
    assert cache.get("a") is not None
    cache.put("c", state())
    assert cache.get("b") is None
    assert cache.get("a") is not None
    assert cache.get("c") is not None
    assert cache.stats() == {
        "hits": 3,
        "misses": 1,
        "evictions": 1,
        "expirations": 0,
        "users": 2,
        "bytes": 32,
        "hit_rate": 0.75,
    }


def test_memory_is_bounded():
    cache = StateCache(max_bytes=40)
    for key in "abc":
        cache.put(key, state())
    assert cache.stats()["bytes"] == 32
    assert cache.get("a") is None
    cache.put("large", state(size=11))
    assert cache.get("large") is None
    assert cache.get("c") is not None
    cache.put("c", state(size=8))
    assert cache.stats()["bytes"] <= 40


def test_states_expire():
    now = [0.0]
    cache = StateCache(seconds=10, clock=lambda: now[0])
    cache.put("a", state())
    now[0] = 9.9
    assert cache.get("a") is not None
    now[0] = 10.0
    assert cache.get("a") is None
    assert cache.stats()["expirations"] == 1
    assert cache.stats()["bytes"] == 0


def test_no_users_keep_nothing():
    cache = StateCache(max_users=0)
    cache.put("a", state())
    assert cache.get("a") is None
    assert [cache.met("a"), cache.met("a")] == [False, False]


def test_meetings_are_remembered_and_bounded():
    cache = StateCache(max_users=2)
    assert [cache.met(k) for k in "aabca"] == [False, True, False, False, False]


def test_bounds_are_checked():
    with pytest.raises(RequestError, match="seconds=-1"):
        StateCache(seconds=-1)


def test_threads_keep_the_books_straight():
    cache = StateCache(max_users=5, max_bytes=64)

    def work(seed):
        generator = np.random.default_rng(seed)
        for key in generator.integers(0, 12, 500).tolist():
            found = cache.get(key)
            if found is None:
                cache.put(key, state(key, size=1 + key % 5))
            else:
                assert found["user_state_x"][0] == key

    workers = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    stats = cache.stats()
    assert stats["hits"] + stats["misses"] == 3000
    assert stats["bytes"] <= 64
    assert stats["users"] <= 5
