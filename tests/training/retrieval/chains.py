"""A folder of users who walk around a ring of items, step by step."""

import numpy as np

from jd_tf.data import write_dataset
from jd_tf.schema import Behavior, IdColumn, Objective, Schema

ITEMS, STEPS, LENGTH = 24, 7, 5
FIRST_ID = 100


def ring_schema():
    return Schema(
        name="ring",
        item_columns=(
            IdColumn("item_id", vocabulary=tuple(ring_ids().tolist())),
        ),
        behaviors=(Behavior("click", max_length=LENGTH),),
        objectives=(Objective("click"),),
        max_candidates=3,
    )


def ring_ids():
    return FIRST_ID + np.arange(ITEMS)


def request_of(user, place, walk):
    """The request before step `place`: its item among two others."""
    shown = [walk[place], walk[place] + 5, walk[place] + 9]
    shown = [FIRST_ID + (n - FIRST_ID) % ITEMS for n in shown]
    past = walk[max(place - LENGTH, 0) : place][::-1]
    return {
        "request_id": f"{user}:{place}",
        "user_id": f"u{user}",
        "request_time": 1000 + place,
        "click_item_id": past,
        "click_event_time": [999 + place - n for n in range(len(past))],
        "item_id": shown,
        "labels": [[1.0], [0.0], [0.0]],
        "label_weights": [[1.0]] * 3,
    }


def walks(num_users=96):
    rng = np.random.default_rng(1)
    start = rng.integers(0, ITEMS, num_users)
    return [
        [FIRST_ID + (first + n) % ITEMS for n in range(STEPS)]
        for first in start.tolist()
    ]


def write_ring(folder, num_users=96):
    """Training requests of all steps but the last, which is validated."""
    requests = {"train": [], "validation": []}
    for user, walk in enumerate(walks(num_users)):
        for place in range(STEPS - 1):
            requests["train"].append(request_of(user, place, walk))
        requests["validation"].append(request_of(user, STEPS - 1, walk))
    write_dataset(folder, ring_schema(), requests)
