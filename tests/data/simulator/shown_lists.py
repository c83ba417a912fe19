"""Lists in front of users, as the simulator shows them."""

import numpy as np

from jd_tf.data.simulator.people.outcome import ShownList
from jd_tf.data.simulator.people.users import Users


def four_lists(users: Users, num_items: int, rng: np.random.Generator):
    """Four users, the odd ones buying, in front of thirty items each."""
    return ShownList(
        users=np.arange(4),
        items=np.stack([rng.permutation(num_items)[:30] for _ in range(4)]),
        num_shown=np.full(4, 30),
        scenario=np.zeros(4, int),
        intent=np.arange(4) % 2,
        focus=np.zeros(4, int),
        owned=np.zeros((4, 30), bool),
        anchor=np.full(4, -1),
        num_clicks=np.zeros(4),
        days=np.full(4, 3.0),
        tastes=users.tastes(np.arange(4)),
    )
