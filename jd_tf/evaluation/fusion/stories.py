"""Sessions told step by step: events so far, and the weights then."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from jd_tf.evaluation.fusion.observation import FusionObservation

_DIGITS = re.compile(r"(\d+)")
_MAX_STEPS = 12


def tell_stories(
    observation: FusionObservation,
    num_stories: int = 20,
    session_seconds: float = 3600.0,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Picks sessions of several requests and tells them.

    Half of the sessions, where there are so many, went beyond the first of
    the schema's behaviours; among those of a kind the choice is random, not
    by what the weights did.

    Args:
        observation: of R requests.
        num_stories: sessions at most.
        session_seconds: a longer pause between two requests of a user ends
            a session.
        seed: of the choice.

    Returns:
        Per session `user`, a number of the report's own, `went_far`, and
        `steps`: `seconds` since the first, `scenario` and other facts by
        segmentation, `events` so far by behaviour, `dwell_seconds` so far,
        `new` since the step before in words, `shares` of the weights by
        objective, and `outcome`: how often each objective came about.
    """
    sessions = list(_sessions(observation, session_seconds))
    long = [rows for rows in sessions if len(rows) >= 3]
    if len(long) < num_stories:
        long = [rows for rows in sessions if len(rows) >= 2]
    far = [bool(observation.events[rows, 1:].any()) for rows in long]
    rng = np.random.default_rng(seed)
    kinds = [
        rng.permutation([i for i, f in enumerate(far) if f is kind]).tolist()
        for kind in (True, False)
    ]
    half = min(num_stories // 2, len(kinds[1]))
    chosen = [int(i) for i in kinds[0][: num_stories - half]]
    chosen += [int(i) for i in kinds[1][: num_stories - len(chosen)]]
    return [
        {
            "user": number,
            "went_far": far[place],
            "steps": list(_steps(observation, long[place])),
        }
        for number, place in enumerate(chosen, 1)
    ]


def _sessions(
    observation: FusionObservation, session_seconds: float
) -> Iterator[list[int]]:
    """Rows of each session, in the order of time."""
    # Where there is no clock, the numbers in the ids tell the order.
    natural = [
        tuple(
            int(part) if part.isdigit() else part
            for part in _DIGITS.split(text)
        )
        for text in observation.request_ids.tolist()
    ]
    users, times = observation.users, observation.times
    order = sorted(
        range(len(users)), key=lambda r: (users[r], times[r], natural[r])
    )
    rows: list[int] = []
    for row in order:
        same = rows and users[row] == users[rows[-1]]
        if not (same and times[row] - times[rows[-1]] <= session_seconds):
            if rows:
                yield rows
            rows = []
        rows.append(row)
    if rows:
        yield rows


def _steps(
    observation: FusionObservation, rows: Sequence[int]
) -> Iterator[dict[str, Any]]:
    schema, predictions = observation.schema, observation.predictions
    names = [behavior.name for behavior in schema.behaviors]
    shares = observation.shares
    before, stayed = np.zeros(len(names)), 0.0
    for place, row in enumerate(rows[:_MAX_STEPS]):
        events, dwell = observation.events[row], float(observation.dwell[row])
        # What is older than a session drops out again: never below none.
        new = np.maximum(events - before, 0).astype(int)
        words = [
            f"{count} {name}"
            for count, name in zip(new, names, strict=True)
            if count
        ]
        if words and dwell > stayed:
            words.append(f"{dwell - stayed:.0f} s on pages")
        said = ", ".join(words) or "nothing new"
        yield {
            "seconds": int(observation.times[row] - observation.times[rows[0]]),
            "facts": {
                name: str(ids[row])
                for name, ids in predictions.segments.items()
            },
            "events": dict(
                zip(names, events.astype(int).tolist(), strict=True)
            ),
            "dwell_seconds": dwell,
            "new": said if place or not words else f"before: {said}",
            "shares": dict(
                zip(schema.objective_names, shares[row].tolist(), strict=True)
            ),
            "outcome": dict(
                zip(
                    schema.objective_names,
                    predictions.labels[row].sum(axis=0).astype(int).tolist(),
                    strict=True,
                )
            ),
        }
        before, stayed = events, dwell
