"""Small made-up interactions and histories, for the tests of recall."""

import numpy as np

from jd_tf.pipeline.recall.interactions import Interactions


def random_interactions(
    num_users=40, num_items=15, num_events=260, seed=3, texts=False
):
    """Events of users with items of uneven popularity; ids 10, 20, ..."""
    generator = np.random.default_rng(seed)
    weight = np.arange(1, num_items + 1) ** -0.7
    item = generator.choice(num_items, num_events, p=weight / weight.sum())
    return Interactions.of_events(
        generator.integers(0, num_users, num_events),
        ids_of(item, texts),
        generator.integers(0, 1000, num_events),
        generator.choice([0.5, 1.0, 3.0], num_events),
    )


def ids_of(numbers, texts=False):
    """Raw ids of items numbered from 0."""
    numbers = 10 + 10 * np.asarray(numbers)
    if not texts:
        return numbers
    names = np.array([b"i%03d" % n for n in numbers.ravel()], object)
    return names.reshape(numbers.shape)


def users_of(interactions):
    """User -> {item row: (time, weight)}."""
    users = {}
    for user, item, time, weight in zip(
        interactions.user.tolist(),
        interactions.item.tolist(),
        interactions.time.tolist(),
        interactions.weight.tolist(),
        strict=True,
    ):
        users.setdefault(user, {})[item] = (time, weight)
    return users


def random_histories(item_id, size=9, length=6, seed=5):
    """Histories of known and unknown items, rubbish in the padding."""
    generator = np.random.default_rng(seed)
    numbers = generator.integers(0, len(item_id), (size, length))
    ids = item_id[numbers]
    ids[0, 0] = b"unknown" if item_id.dtype == object else 77
    lengths = generator.integers(0, length + 1, size).astype(np.int32)
    lengths[:2] = length, 0
    return {
        "click_item_id": ids,
        "click_length": lengths,
        "request_time": np.zeros(size, np.int64),
    }
