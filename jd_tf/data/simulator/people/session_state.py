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
# Chances of the order page, the cart and a product's page after these labels.
_LABELS, _GO_ON_RATES = (ORDER, CART, CLICK), (0.6, 0.5, 0.3)
_BEGIN_IN_CART = 0.3


class SessionState:
    """Clock, intent and counters of the sessions of a block, one row a user.

    Times are in seconds since 1970; `focus` is the interest that the session
    is about, `scenario` that of the next request; `counts` (users, F) has the
    columns of `SESSION_DENSE`.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        num_users: int,
        time: float,
        behavior: BehaviorParameters,
    ):
        self.rng, self.behavior = rng, behavior
        self.number = np.full(num_users, -1)  # sessions begun, less one
        self.start = np.full(num_users, time)
        self.now = np.full(num_users, time)
        self.intent, self.focus, self.scenario = np.zeros((3, num_users), int)
        self.counts = np.zeros((num_users, len(SESSION_DENSE)))

    def begin(
        self,
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
        to_cart = self.rng.random(len(users)) < _BEGIN_IN_CART
        to_cart &= comes_for_cart
        rates = np.take(self.behavior.search_first_rates, intent)
        pages = [to_cart, self.rng.random(len(users)) < rates]
        self.scenario[users] = np.select(pages, [CART_PAGE, SEARCH], FEED)
        self.counts[users] = 0.0

    def dense(self, users: np.ndarray) -> np.ndarray:
        """Returns (R, F) float32, the session before the next request."""
        counts = self.counts[users].copy()
        counts[:, -1] = self.now[users] - self.start[users]
        return np.log1p(counts).astype(np.float32)

    def record(
        self,
        users: np.ndarray,
        counted: np.ndarray,
        dwell: np.ndarray,
        time: np.ndarray,
    ) -> None:
        """Counts a request that is over and draws the next scenario.

        (R, 6) labels were `counted`, (R,) `dwell` seconds went on pages, and
        the next request is at `time` (R,), if there is one.
        """
        self.counts[users, 0] += 1
        self.counts[users, 1 : 1 + counted.shape[1]] += counted
        self.counts[users, _DWELL] += dwell
        self.now[users] = time
        point = self.rng.random((len(users), 1))
        rates = np.take(self.behavior.search_rates, self.intent[users])
        to_search = self.rng.random(len(users)) < rates
        goes_on = (counted[:, _LABELS] > 0) & (point < _GO_ON_RATES)
        self.scenario[users] = np.select(
            [*goes_on.T, to_search],
            [ORDER_PAGE, CART_PAGE, PRODUCT_DETAIL, SEARCH],
            FEED,
        )
