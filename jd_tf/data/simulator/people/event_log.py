"""Events of a block of simulated users, and the log made of them."""

import dataclasses
from collections.abc import Mapping

import numpy as np

_FIRST_CAPACITY = 32


class EventLog:
    """Events of a block of users, each user's in the order of time.

    `columns` are dtype and inner size (0 for none) of each but `time`; of the
    `tables` (users, capacity[, inner]), `length` (users,) events are real.
    """

    def __init__(self, num_users: int, columns: Mapping[str, tuple[type, int]]):
        self.length = np.zeros(num_users, np.int64)
        shape = (num_users, _FIRST_CAPACITY)
        self.tables: dict[str, np.ndarray] = {
            name: np.zeros((*shape, inner) if inner else shape, dtype)
            for name, (dtype, inner) in columns.items()
        }
        self.tables["time"] = np.zeros(shape)

    def append(
        self, users: np.ndarray, happened: np.ndarray, **values: np.ndarray
    ) -> None:
        """Adds the (R, N) events that `happened` in a request of (R,) users."""
        place = np.cumsum(happened, axis=1) - 1
        capacity = int((self.length[users] + place[:, -1]).max()) + 1
        missing = capacity - self.tables["time"].shape[1]
        if missing > 0:
            for name, table in self.tables.items():
                shape = list(table.shape)
                shape[1] = max(missing, shape[1])
                added = np.zeros(shape, table.dtype)
                self.tables[name] = np.concatenate([table, added], axis=1)
        rows, places = np.nonzero(happened)
        target = self.length[users[rows]] + place[rows, places]
        for name, table in self.tables.items():
            table[users[rows], target] = values[name][rows, places]
        self.length[users] += place[:, -1] + 1

    def newest_items(self, users: np.ndarray, count: int) -> np.ndarray:
        """Returns (R, count) items of (R,) users, newest first, -1 pads."""
        place = self.length[users][:, None] - 1 - np.arange(count)
        items = self.tables["item"][users[:, None], np.maximum(place, 0)]
        return np.where(place >= 0, items, -1)


@dataclasses.dataclass(frozen=True)
class BlockLog:
    """Everything that happened to a block of users.

    R is the number of logged requests, N the places of a list. `requests`,
    in the order of time, holds (R, ...) arrays: `user` row in the block,
    `session` and `step` counted from 0, `time`, `scenario`, `item` (R, N),
    `num_shown`, `labels` and `relevance` (R, N, 6), `reward` (R, N),
    `session_dense` (R, F), `click_end`, `cart_end` and `order_end`, the events
    before the request; and the hidden `intent`. `exposures` holds everything
    shown, warm-up included: `item`, `clicked`, and `time`, when the request
    was over.
    """

    first_user: int  # number of the block's first user in the whole shop
    level: np.ndarray  # (users,) int64, 1 to 5
    clicks: EventLog
    carts: EventLog
    orders: EventLog
    requests: dict[str, np.ndarray]
    exposures: dict[str, np.ndarray]
