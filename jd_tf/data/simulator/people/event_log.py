"""Events of a block of simulated users, and the log made of them."""

import dataclasses
from collections.abc import Mapping

import numpy as np

_FIRST_CAPACITY = 32


class EventLog:
    """Events of a block of users, each user's in the order of time.

    Args:
        num_users: users of the block.
        columns: dtype and inner size of each column but `time`; 0 for none.

    Attributes:
        length: (users,) int64, events of each user so far.
        tables: column name -> (users, capacity[, inner]) array.
    """

    def __init__(self, num_users: int, columns: Mapping[str, tuple[type, int]]):
        self.length = np.zeros(num_users, np.int64)
        self.tables: dict[str, np.ndarray] = {
            name: np.zeros(
                (num_users, _FIRST_CAPACITY) + ((inner,) if inner else ()),
                dtype,
            )
            for name, (dtype, inner) in {
                "time": (np.float64, 0),
                **columns,
            }.items()
        }

    def append(
        self, users: np.ndarray, happened: np.ndarray, **values: np.ndarray
    ) -> None:
        """Adds the events of one request of some users.

        Args:
            users: (R,) int, rows, each at most once.
            happened: (R, N) bool, places with an event, in the order of time.
            **values: (R, N[, inner]), every column.
        """
        place = np.cumsum(happened, axis=1) - 1
        self._reserve(int((self.length[users] + place[:, -1]).max()) + 1)
        rows, places = np.nonzero(happened)
        target = self.length[users[rows]] + place[rows, places]
        for name, table in self.tables.items():
            table[users[rows], target] = values[name][rows, places]
        self.length[users] += place[:, -1] + 1

    def newest(
        self, name: str, users: np.ndarray, count: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns a column of the latest events of (R,) users.

        Returns:
            (R, count) values, newest first, and (R, count) bool, True where
            there is an event; values elsewhere mean nothing.
        """
        place = self.length[users][:, np.newaxis] - 1 - np.arange(count)
        real = place >= 0
        table = self.tables[name]
        return table[users[:, np.newaxis], np.maximum(place, 0)], real

    def _reserve(self, capacity: int) -> None:
        for name, table in self.tables.items():
            missing = capacity - table.shape[1]
            if missing > 0:
                extra = max(missing, table.shape[1])
                padding = np.zeros(
                    (len(table), extra, *table.shape[2:]), table.dtype
                )
                self.tables[name] = np.concatenate([table, padding], axis=1)


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
            request; and the hidden `intent`.
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
