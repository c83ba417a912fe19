"""TreeNumbers beside a loop, and in a ranker."""

import numpy as np

from jd_tf.models.blocks.tree_numbers import TreeNumbers


def test_equals_a_loop_whatever_padding_holds():
    rng = np.random.default_rng(2)
    block = TreeNumbers({"category_id": "int64"}, {"city": "int64"}, ["click"])
    block.build()
    block.ranks["category_id"].adapt(np.array([40, 20, 30]))
    block.ranks["city"].adapt(np.array([7]))
    actions = rng.integers(1, 9, (3, 4, 2))
    length = np.array([4, 0, 2])
    categories = rng.choice([0, 20, 30, 40, 50], (3, 5))
    cities = np.array([7, 8, 0])
    shared = rng.normal(size=(3, 2)).astype(np.float32)
    own = rng.normal(size=(3, 5, 1)).astype(np.float32)
    found = block(
        {"click_action_ids": actions, "click_length": length},
        {"city": cities},
        {"category_id": categories},
        shared,
        own,
    ).numpy()
    for b, n in np.ndindex(3, 5):
        newest = actions[b, 0] if length[b] else [0, 0]
        place = (
            [20, 30, 40].index(categories[b, n])
            if (categories[b, n] in (20, 30, 40))
            else -1
        )
        city = 0 if cities[b] == 7 else -1
        expected = [city, *newest, *shared[b], place, *own[b, n]]
        np.testing.assert_allclose(found[b, n], expected)


def test_no_events_at_all():
    block = TreeNumbers({"category_id": "int64"}, {}, ["click"])
    block.build()
    state = block.encode(
        {
            "click_action_ids": np.zeros((2, 0, 3), np.int64),
            "click_length": np.zeros(2, np.int32),
        }
    )
    np.testing.assert_array_equal(
        state["click_newest_actions"], np.zeros((2, 3))
    )
