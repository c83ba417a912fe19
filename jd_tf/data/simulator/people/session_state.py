"""State of the current session of each simulated user."""

import numpy as np

from jd_tf.data.simulator.behavior import (
    CART,
    CLICK,
    OBJECTIVES,
    ORDER,
    BehaviorParameters,
)
from jd_tf.data.simulator.shop.logging_policy import (
    CART_PAGE,
    FEED,
    ORDER_PAGE,
    PRODUCT_DETAIL,
    SEARCH,
)

SESSION_DENSE = (
    "requests",
    *(f"{objective.name}s" for objective in OBJECTIVES),
    "dwell_seconds",
    "elapsed_seconds",
)
_DWELL = SESSION_DENSE.index("dwell_seconds")
_GO_TO_ORDER_PAGE = 0.6
_GO_TO_CART = 0.5
_GO_TO_PRODUCT_DETAIL = 0.3
_BEGIN_IN_CART = 0.3


class SessionState:
    """Clock, intent and counters of the sessions of a block.

    Attributes:
        number: (users,) int, sessions begun, less one.
        start: (users,) float, seconds since 1970.
        now: (users,) float.
        intent: (users,) int.
        focus: (users,) int, the interest the session is about.
        scenario: (users,) int, of the next request.
        counts: (users, F) float, columns as in `SESSION_DENSE`.
    """

    def __init__(
        self, num_users: int, time: float, behavior: BehaviorParameters
    ):
        self.behavior = behavior
        self.number = np.full(num_users, -1)
        self.start = np.full(num_users, time)
        self.now = np.full(num_users, time)
        self.intent = np.zeros(num_users, np.int64)
        self.focus = np.zeros(num_users, np.int64)
        self.scenario = np.zeros(num_users, np.int64)
        self.counts = np.zeros((num_users, len(SESSION_DENSE)))

    def begin(
        self,
        rng: np.random.Generator,
        users: np.ndarray,
        time: np.ndarray,
        intent: np.ndarray,
        focus: np.ndarray,
        comes_for_cart: np.ndarray,
    ) -> None:
        """Starts a session of each of the (R,) users at (R,) times.

        `comes_for_cart` (R,) is True where the cart is a likely entry.
        """
        self.number[users] += 1
        self.start[users] = self.now[users] = time
        self.intent[users], self.focus[users] = intent, focus
        to_cart = comes_for_cart & (rng.random(len(users)) < _BEGIN_IN_CART)
        rates = np.take(self.behavior.search_first_rates, intent)
        to_search = rng.random(len(users)) < rates
        self.scenario[users] = np.select(
            [to_cart, to_search], [CART_PAGE, SEARCH], FEED
        )
        self.counts[users] = 0.0

    def dense(self, users: np.ndarray) -> np.ndarray:
        """Returns (R, F) float32, the session before the next request."""
        counts = self.counts[users].copy()
        counts[:, -1] = self.now[users] - self.start[users]
        return np.log1p(counts).astype(np.float32)

    def record(
        self,
        rng: np.random.Generator,
        users: np.ndarray,
        counted: np.ndarray,
        dwell: np.ndarray,
        time: np.ndarray,
    ) -> None:
        """Counts a request that is over and draws the next scenario.

        Args:
            rng: source of randomness.
            users: (R,) int, rows.
            counted: (R, 6) int, labels of the request.
            dwell: (R,) float, seconds on pages of items.
            time: (R,) float, of the next request, if there is one.
        """
        self.counts[users, 0] += 1
        self.counts[users, 1 : 1 + counted.shape[1]] += counted
        self.counts[users, _DWELL] += dwell
        self.now[users] = time
        point = rng.random(len(users))
        rates = np.take(self.behavior.search_rates, self.intent[users])
        to_search = rng.random(len(users)) < rates
        self.scenario[users] = np.select(
            [
                (counted[:, ORDER] > 0) & (point < _GO_TO_ORDER_PAGE),
                (counted[:, CART] > 0) & (point < _GO_TO_CART),
                (counted[:, CLICK] > 0) & (point < _GO_TO_PRODUCT_DETAIL),
                to_search,
            ],
            [ORDER_PAGE, CART_PAGE, PRODUCT_DETAIL, SEARCH],
            FEED,
        )
