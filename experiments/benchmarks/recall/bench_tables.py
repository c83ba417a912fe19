"""Times the jobs that make tables of neighbours, on generated events.

    python -m experiments.benchmarks.recall.bench_tables --events=10000000

Users have a few interests each, and items of an interest are as uneven as in
a shop (Zipf). Prints seconds, those of all cores together, and the largest
memory so far of each job.
"""

import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from absl import flags

from experiments import program

_EVENTS = flags.DEFINE_integer("events", 10_000_000, "Events.", lower_bound=100)
_USERS = flags.DEFINE_integer("users", 500_000, "Users.", lower_bound=1)
_ITEMS = flags.DEFINE_integer("items", 200_000, "Items.", lower_bound=100)
_MAX_USERS = flags.DEFINE_integer("max_users", 200, "Of an item, for Swing.")
_MAX_ENTRIES = flags.DEFINE_integer(
    "max_entries", 1 << 22, "Entries held at a time, once a core."
)
_JOBS = program.needs_entries(
    flags.DEFINE_list(
        "jobs", ["co_occurrence", "swing"], "Jobs that are timed."
    )
)
_ITEMS_OF_AN_INTEREST = 100
_SECONDS = 90 * 86400


def generated_events(
    num_events: int, num_users: int, num_items: int, seed: int = 1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns users, items from 1 and times of events.

    Args:
        num_events: E.
        num_users: whose activity is log-normal.
        num_items: in interests of a hundred.
        seed: of the draws.
    """
    generator = np.random.default_rng(seed)
    activity = generator.lognormal(0.0, 1.0, num_users)
    user = generator.choice(num_users, num_events, p=activity / activity.sum())
    num_interests = max(num_items // _ITEMS_OF_AN_INTEREST, 1)
    # Interests are uneven, too; a user has three of them.
    weight = np.arange(1, num_interests + 1) ** -0.5
    interests = generator.choice(
        num_interests, (num_users, 3), p=weight / weight.sum()
    )
    interest = interests[user, generator.integers(0, 3, num_events)]
    weight = np.arange(1, _ITEMS_OF_AN_INTEREST + 1) ** -0.8
    place = generator.choice(
        _ITEMS_OF_AN_INTEREST, num_events, p=weight / weight.sum()
    )
    item = np.minimum(interest * _ITEMS_OF_AN_INTEREST + place, num_items - 1)
    time_of = generator.integers(0, _SECONDS, num_events)
    return user, item + 1, time_of


def main(_: object) -> None:
    """Times the jobs, one after the other."""
    from jd_tf.pipeline.recall.co_occurrence import co_occurrence_table
    from jd_tf.pipeline.recall.interactions import Interactions
    from jd_tf.pipeline.recall.swing import swing_table
    from jd_tf.schema import DataError

    jobs = {
        "co_occurrence": lambda logs: co_occurrence_table(
            logs, half_life=30 * 86400, max_entries=_MAX_ENTRIES.value
        ),
        "swing": lambda logs: swing_table(
            logs, max_users=_MAX_USERS.value, max_entries=_MAX_ENTRIES.value
        ),
    }
    for name in _JOBS.value:
        if name not in jobs:
            raise DataError(f"--jobs: no `{name}`, only {', '.join(jobs)}.")
    events = generated_events(_EVENTS.value, _USERS.value, _ITEMS.value)
    interactions, spent = _timed(lambda: Interactions.of_events(*events))
    print(
        f"interactions: {spent}; {len(interactions):,} of {_EVENTS.value:,} "
        "events are left, as an item counts once a user",
        flush=True,
    )
    for name in _JOBS.value:
        table, spent = _timed(lambda job=jobs[name]: job(interactions))
        print(f"{name}: {spent}; {table.summary()}", flush=True)


def _timed(work: Callable[[], Any]) -> tuple[Any, str]:
    """Returns what work returns, and what it took."""
    start, before = time.monotonic(), time.process_time()
    found = work()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return found, (
        f"{time.monotonic() - start:.1f} s, "
        f"{time.process_time() - before:.1f} s of cores, {memory:.1f} GB"
    )


if __name__ == "__main__":
    program.run(main)
