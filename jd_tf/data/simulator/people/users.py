"""The hidden state of simulated users, and the times of their visits."""

import dataclasses

import numpy as np

from jd_tf.data.simulator.behavior import BehaviorParameters
from jd_tf.data.simulator.config import DAY, SimulatorConfig
from jd_tf.data.simulator.shop.catalogue import STYLE_DIM, Catalogue

BROWSING, BUYING = 0, 1
NUM_LEVELS = 5
# Visits by hour of the day: few at night, most in the evening.
_HOURS = np.array(
    [3, 2, 1, 1, 1, 1, 2, 4, 5, 5, 6, 6, 7, 6, 5, 5, 5, 6, 7, 8, 9, 9, 7, 5.0]
)
# Share of users that join after the simulation has begun.
_NEWCOMERS = 0.15
# Mean requests of a session, measured; only used to plan how many sessions
# are needed for a given number of requests.
_MEAN_SESSION_REQUESTS = 3.2


@dataclasses.dataclass(frozen=True)
class Tastes:
    """The present tastes of some users, copied out of `Users`."""

    readiness: np.ndarray  # (R,) float, logit, readiness to click
    price: np.ndarray  # (R,) float, price level the user likes
    style: np.ndarray  # (R, 4) float, unit vectors, style the user likes
    interest_category: np.ndarray  # (R, K) int
    interest_strength: np.ndarray  # (R, K) float
    interest_brand: np.ndarray  # (R, K) int, -1 for none
    interest_price: np.ndarray  # (R, K) float
    interest_style: np.ndarray  # (R, K, 4) float, unit vectors
    interest_need: np.ndarray  # (R, K) bool, True where it is to be bought soon
    # (R, K) float, days until what was bought is used up, inf where nothing is
    interest_due: np.ndarray
    interest_circle: np.ndarray  # (R, K) int, circle that the interest is of
    circles: np.ndarray  # (R, G) int, circles of the user


class Users:
    """The hidden state of a block of users.

    `level` (users,) is the shop's class of a user, 1 to 5, a noisy view of
    activity and price level; `activity` (users,), about 1, how often they come.
    """

    def __init__(
        self,
        num_users: int,
        catalogue: Catalogue,
        behavior: BehaviorParameters,
        rng: np.random.Generator,
    ):
        self.catalogue, self.behavior, self.rng = catalogue, behavior, rng
        busy = rng.normal(size=num_users)
        self.activity = np.exp(0.5 * busy - 0.125)
        slots = (num_users, behavior.num_interests)
        self.state = Tastes(
            readiness=behavior.click_rate_spread * rng.normal(size=num_users),
            price=rng.normal(size=num_users),
            style=_unit(rng.normal(size=(num_users, STYLE_DIM))),
            interest_category=np.full(slots, -1),
            interest_strength=np.zeros(slots),
            interest_brand=np.full(slots, -1),
            interest_price=np.zeros(slots),
            interest_style=np.zeros((*slots, STYLE_DIM)),
            interest_need=np.zeros(slots, bool),
            interest_due=np.full(slots, np.inf),
            interest_circle=np.zeros(slots, np.int64),
            circles=rng.choice(
                behavior.num_circles,
                (num_users, behavior.circles_per_user),
                p=catalogue.circle_weight,
            ),
        )
        seen = 0.7 * busy + 0.5 * self.state.price
        seen += 0.5 * rng.normal(size=num_users)
        edges = np.linspace(-1.2, 1.2, NUM_LEVELS - 1)
        self.level = 1 + np.digitize(seen, edges)
        for slot in range(behavior.num_interests):
            self._new_interest(np.arange(num_users), np.full(num_users, slot))
        days = behavior.need_end_days
        share = days / (days + behavior.need_start_days)
        self.state.interest_need[:] = rng.random(slots) < share

    def tastes(self, users: np.ndarray) -> Tastes:
        """Copies the state of the users at the given (R,) rows."""
        return Tastes(*(part[users] for part in vars(self.state).values()))

    def pass_time(self, users: np.ndarray, days: np.ndarray) -> None:
        """Changes tastes, interests and needs of (R,) rows over (R,) days."""
        state, behavior, rng = self.state, self.behavior, self.rng
        step = behavior.taste_drift * np.sqrt(days)
        # Shrinking keeps the spread between users what it was.
        kept = np.sqrt(np.maximum(1.0 - step**2, 0.0))
        noise = rng.normal(size=len(users))
        state.price[users] = kept * state.price[users] + step * noise
        noise = rng.normal(size=(len(users), STYLE_DIM))
        # A unit vector of 4 has components of spread 1 / 2.
        moved = state.style[users] + 0.5 * step[:, None] * noise
        state.style[users] = _unit(moved)

        shape = (len(users), behavior.num_interests)
        gone = rng.random(shape) < _chance(days, behavior.interest_days)
        gone |= state.interest_strength[users] == 0.0
        rows, slots = np.nonzero(gone)
        for slot in range(behavior.num_interests):
            self._new_interest(users[rows[slots == slot]], slots[slots == slot])
        need = state.interest_need[users]
        starts = rng.random(shape) < _chance(days, behavior.need_start_days)
        ends = rng.random(shape) < _chance(days, behavior.need_end_days)
        due = state.interest_due[users] - days[:, None]
        starts |= due <= 0
        state.interest_due[users] = np.where(due <= 0, np.inf, due)
        state.interest_need[users] = np.where(need, ~ends, starts)

    def start_session(self, users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Draws (R,) intents, and the (R,) interests that users came for."""
        state, behavior, rng = self.state, self.behavior, self.rng
        need = state.interest_need[users]
        buying = rng.random(len(users)) < np.where(
            need.any(axis=1),
            behavior.buying_with_need,
            behavior.buying_without_need,
        )
        weight = state.interest_strength[users].copy()
        only_needs = buying & need.any(axis=1)
        weight[only_needs] *= need[only_needs]
        return np.where(buying, BUYING, BROWSING), _pick(rng, weight)

    def bought(self, users: np.ndarray, category: np.ndarray) -> None:
        """Ends needs and some interests by (P,) purchases, and begins others.

        What is used up is needed again after a while, and a purchase may call
        for something that goes with it.
        """
        state, behavior, rng = self.state, self.behavior, self.rng
        same = state.interest_category[users] == category[:, None]
        purchase, slot = np.nonzero(same)
        rows = users[purchase]
        state.interest_need[rows, slot] = False
        cycle = behavior.cycle_days * rng.lognormal(0.0, 0.3, len(rows))
        used_up = self.catalogue.consumed[category[purchase]]
        state.interest_due[rows, slot] = np.where(used_up, cycle, np.inf)
        over = rng.random(len(rows)) < behavior.satisfied_rate
        # A strength of zero is replaced before the next session.
        state.interest_strength[rows[over], slot[over]] = 0.0

        wanted = rng.random(len(rows)) < behavior.complement_rate
        # One of a request is enough.
        users, first = np.unique(rows[wanted], return_index=True)
        after = slot[wanted][first]
        category = category[purchase[wanted][first]]
        other = _pick(rng, self.catalogue.companion[category].astype(float))
        known = state.interest_category[users] == other[:, None]
        place = np.where(
            known.any(axis=1),
            known.argmax(axis=1),
            (after + 1) % behavior.num_interests,
        )
        new = ~known.any(axis=1)
        self._new_interest(users[new], place[new], other[new])
        state.interest_need[users, place] = True

    def _new_interest(
        self,
        users: np.ndarray,
        slots: np.ndarray,
        category: np.ndarray | None = None,
    ) -> None:
        """Fills one slot of each user with an interest they do not have.

        Its (R,) category is drawn by demand if None, rather one that goes
        with the user's others.
        """
        state, behavior, rng = self.state, self.behavior, self.rng
        catalogue, count = self.catalogue, len(users)
        if category is None:
            taken = state.interest_category[users]
            rows, columns = np.nonzero(taken >= 0)
            weight = np.zeros((count, len(catalogue.category_weight)))
            np.add.at(weight, rows, catalogue.companion[taken[rows, columns]])
            weight = 1.0 + behavior.companion_lift * weight
            weight *= catalogue.category_weight
            weight[rows, taken[rows, columns]] = 0.0
            category = _pick(rng, weight)
        spread = behavior.taste_spread
        price = state.price[users] + spread * rng.normal(size=count)
        # Unit vectors of 4 have components of spread 1 / 2.
        style = rng.normal(size=(count, STYLE_DIM)) * 0.5 * spread
        style = _unit(state.style[users] + style)

        # The favourite brand is one that suits the user.
        suits = style @ catalogue.brand_style.T
        suits -= 0.5 * (price[:, None] - catalogue.brand_price) ** 2
        brand = _pick(rng, catalogue.brand_weight.T[category] * np.exp(suits))
        loyal = rng.random(count) < behavior.brand_loyalty

        state.interest_category[users, slots] = category
        state.interest_strength[users, slots] = rng.uniform(0.8, 1.2, count)
        state.interest_brand[users, slots] = np.where(loyal, brand, -1)
        state.interest_price[users, slots] = price
        state.interest_style[users, slots] = style
        state.interest_need[users, slots] = False
        state.interest_due[users, slots] = np.inf
        mine = rng.integers(behavior.circles_per_user, size=count)
        state.interest_circle[users, slots] = state.circles[users, mine]


def plan_sessions(
    config: SimulatorConfig, activity: np.ndarray, rng: np.random.Generator
) -> list[np.ndarray]:
    """Draws sorted start times of each user's sessions, with warm-up."""
    whole = config.num_warm_up_days + config.num_days
    joined = rng.uniform(0.0, whole, len(activity))
    joined[rng.random(len(activity)) >= _NEWCOMERS] = 0.0
    # A newcomer misses half of the logged days that lie before joining.
    present = 1.0 - _NEWCOMERS * (0.5 * config.num_days / whole)
    a_day = config.num_requests / (
        config.num_users * config.num_days * present * _MEAN_SESSION_REQUESTS
    )
    share = _HOURS / _HOURS.sum()
    plans = []
    for frequency, first in zip(activity, joined, strict=True):
        count = rng.poisson(frequency * a_day * (whole - first))
        day = np.floor(rng.uniform(first, whole, count))
        hour = rng.choice(24, count, p=share) + rng.random(count)
        plans.append(np.sort(config.warm_up_time + day * DAY + hour * 3600.0))
    return plans


def _pick(rng: np.random.Generator, weight: np.ndarray) -> np.ndarray:
    """Draws one column a row, proportionally to (rows, columns) weights."""
    with np.errstate(divide="ignore"):
        return np.argmax(np.log(weight) + rng.gumbel(size=weight.shape), axis=1)


def _chance(days: np.ndarray, mean_days: float) -> np.ndarray:
    """(R, 1) probability that something of that mean life has ended."""
    return 1.0 - np.exp(-days / mean_days)[:, None]


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
