"""What is kept of a simulated block of users."""

import dataclasses

import numpy as np

from jd_tf.data.simulator.events import EventLog


@dataclasses.dataclass(frozen=True)
class BlockLog:
    """Everything that happened to a block of users.

    R is the number of logged requests, N the places of a list.

    Attributes:
        first_user: number of the block's first user in the whole shop.
        level: (users,) int64, 1 to 5.
        clicks: every click with item, dwell, counters and actions.
        carts: every addition to the cart.
        orders: every order.
        requests: logged requests in the order of time, (R, ...) arrays:
            `user` row in the block, `session` and `step` counted from 0,
            `time`, `scenario`, `item` (R, N), `num_shown`, `labels` and
            `relevance` (R, N, 6), `reward` (R, N), `session_dense` (R, F),
            `click_end`, `cart_end` and `order_end`, the events before the
            request; and what nobody can see: `intent`, `focus_category`,
            `focus_need`.
        exposures: everything shown, warm-up included: `item`, `clicked`,
            and `time`, when the request was over.
    """

    first_user: int
    level: np.ndarray
    clicks: EventLog
    carts: EventLog
    orders: EventLog
    requests: dict[str, np.ndarray]
    exposures: dict[str, np.ndarray]
