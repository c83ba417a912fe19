"""Probabilities of what users do with a list: the equations of the shop."""

import dataclasses

import numpy as np

from jd_tf.data.simulator.behavior import (
    CART,
    CLICK,
    COMMENT_VIEW,
    FAVOURITE,
    LONG_VIEW,
    OBJECTIVES,
    ORDER,
    BehaviorParameters,
)
from jd_tf.data.simulator.people.users import BUYING, Tastes
from jd_tf.data.simulator.shop.catalogue import Catalogue


@dataclasses.dataclass(frozen=True)
class ShownList:
    """Lists of items in front of some users."""

    users: np.ndarray  # (R,) int64, numbers of the users in the whole shop
    # (R, N) int, item numbers; places beyond a request's size may hold any
    # item.
    items: np.ndarray
    scenario: np.ndarray  # (R,) int
    intent: np.ndarray  # (R,) int
    focus: np.ndarray  # (R,) int, the interest the session is about
    # (R, N) bool, True where the user has bought this very item.
    owned: np.ndarray
    tastes: Tastes


@dataclasses.dataclass(frozen=True)
class Match:
    """Agreement of tastes and items, (R, N) each."""

    # The interest that the item's category belongs to, or -1.
    slot: np.ndarray
    interest: np.ndarray  # Strength of that interest
    need: np.ndarray  # True where it is to be bought soon
    brand: np.ndarray  # True for that interest's favourite brand
    # In (0, 1], 1 where the price level is the one liked.
    price: np.ndarray
    style: np.ndarray  # About N(0, 1), likeness of styles


@dataclasses.dataclass(frozen=True)
class Probabilities:
    """Probabilities of all actions, once an item is examined."""

    wanted: np.ndarray  # (R, N) float, of a click out of attraction
    # (R, N, 6) float, of each objective after a wanted click; `order` without a
    # cart.
    given_wanted: np.ndarray
    order_carted: np.ndarray  # (R, N) float, of an order once it is in the cart
    # (R, N) float, mean of log seconds of a wanted visit.
    dwell_mean: np.ndarray
    # (R, N, 3) float, Poisson rates of the counters; of comment reads, those
    # after the first.
    counter_rates: np.ndarray
    # (R, N, 6) float, of each objective, accidents included.
    relevance: np.ndarray


class OutcomeModel:
    """Probabilities of what users do, given everything hidden."""

    def __init__(self, catalogue: Catalogue, behavior: BehaviorParameters):
        self.catalogue, self.behavior = catalogue, behavior
        offsets = np.asarray(behavior.scenario_offsets)
        self._base = behavior.click_base + offsets

    def chances(self, shown: ShownList) -> Probabilities:
        """Returns the probabilities for some lists, position apart."""
        b = self.behavior
        suits = match(self.catalogue, shown.items, shown.tastes)
        private = private_liking(shown.users, shown.items)
        private *= b.private_spread
        buying = (shown.intent == BUYING)[:, np.newaxis]

        wanted = sigmoid(self._attraction(shown, suits, buying) + private)
        content = self._satisfaction(shown, suits) + private
        dwell_mean = b.dwell_mean + b.dwell_match * content
        given = np.empty((*shown.items.shape, len(OBJECTIVES)))
        given[..., CLICK] = 1.0
        given[..., LONG_VIEW] = self._long(dwell_mean, b.dwell_spread)
        given[..., COMMENT_VIEW] = sigmoid(
            b.comment_base
            + b.comment_need * suits.need
            + b.comment_buying * buying
            + b.comment_match * content
        )
        given[..., FAVOURITE] = sigmoid(
            b.favourite_base
            + b.favourite_buying * buying
            + b.favourite_match * content
            + b.favourite_style * suits.style
        )
        given[..., CART] = sigmoid(
            b.cart_base
            + b.cart_need * suits.need
            + b.cart_buying * buying
            + b.cart_match * content
            + b.cart_price * (suits.price - 0.5)
        )
        order = (
            b.order_base
            + b.order_need * suits.need
            + b.order_buying * buying
            + b.order_match * content
            + b.order_price * (suits.price - 0.5)
        )
        given[..., ORDER] = sigmoid(order)
        order_carted = sigmoid(order + b.order_carted)
        image = b.image_base + b.image_style * suits.style
        comments = np.full(wanted.shape, b.comment_more)
        specification = b.specification_base + b.specification_need * suits.need
        counter_rates = np.exp(
            np.stack([image, comments, specification], axis=-1)
        )

        relevance = wanted[..., np.newaxis] * given
        cart = given[..., CART]
        relevance[..., ORDER] = wanted * (
            cart * order_carted + (1.0 - cart) * given[..., ORDER]
        )
        accident = b.accident_rate * (1.0 - wanted)
        relevance[..., CLICK] += accident
        relevance[..., LONG_VIEW] += accident * self._long(
            b.accident_dwell_mean, b.accident_dwell_spread
        )
        return Probabilities(
            wanted, given, order_carted, dwell_mean, counter_rates, relevance
        )

    def _attraction(
        self, shown: ShownList, suits: Match, buying: np.ndarray
    ) -> np.ndarray:
        """Returns the logit of a click, from what the list shows."""
        b = self.behavior
        in_focus = suits.slot == shown.focus[:, np.newaxis]
        return (
            self._base[shown.scenario][:, np.newaxis]
            + shown.tastes.readiness[:, np.newaxis]
            + b.click_interest * suits.interest
            + np.where(in_focus, b.click_focus, buying * b.click_off_focus)
            + b.click_brand * suits.brand
            + b.click_price * (suits.price - 0.5)
            + b.click_style * suits.style
            + b.click_owned * shown.owned
            + self.catalogue.appeal[shown.items]
        )

    def _satisfaction(self, shown: ShownList, suits: Match) -> np.ndarray:
        """Returns the quality of an item once its page is open."""
        b = self.behavior
        return (
            b.match_interest * suits.interest
            + b.match_brand * suits.brand
            + b.match_price * (suits.price - 0.5)
            + b.match_style * suits.style
            + self.catalogue.merit[shown.items]
        )

    def _long(self, mean: np.ndarray | float, spread: float) -> np.ndarray:
        """Returns the probability that a log-logistic dwell is a long view."""
        over = mean - np.log(self.behavior.long_view_seconds)
        # A logistic number of scale 1 has this standard deviation.
        return sigmoid(over / spread * np.pi / np.sqrt(3.0))


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Turns logits into probabilities."""
    return 1.0 / (1.0 + np.exp(-logits))


def match(catalogue: Catalogue, items: np.ndarray, tastes: Tastes) -> Match:
    """Compares (R, N) items with the tastes of R users.

    An item outside of all interests is compared with the user's own taste.
    """
    category = catalogue.category[items][:, :, np.newaxis]
    same = category == tastes.interest_category[:, np.newaxis, :]
    found = same.any(axis=2)
    slot = same.argmax(axis=2)
    rows = np.arange(len(items))[:, np.newaxis]
    price = np.where(
        found, tastes.interest_price[rows, slot], tastes.price[:, np.newaxis]
    )
    style = np.where(
        found[..., np.newaxis],
        tastes.interest_style[rows, slot],
        tastes.style[:, np.newaxis],
    )
    distance = catalogue.price_level[items] - price
    brand = tastes.interest_brand[rows, slot] == catalogue.brand[items]
    return Match(
        slot=np.where(found, slot, -1),
        interest=found * tastes.interest_strength[rows, slot],
        need=found & tastes.interest_need[rows, slot],
        brand=found & brand,
        price=np.exp(-0.5 * distance**2),
        style=(catalogue.style[items] * style).sum(axis=-1),
    )


def private_liking(users: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Hashes pairs of user and item to a user's lasting liking for an item.

    The same pair always gives the same number, so it need not be stored.

    Args:
        users: (R,) int64, numbers of users.
        items: (R, N) int64, numbers of items.

    Returns:
        (R, N) float64, standard normal over pairs.
    """
    pair = users.astype(np.uint64)[:, np.newaxis] << np.uint64(32)
    bits = _mix(pair | items.astype(np.uint64))
    low = (bits & np.uint64(0xFFFFFFFF)).astype(np.float64)
    high = (bits >> np.uint64(32)).astype(np.float64)
    # Box and Muller's transform of two uniform numbers.
    radius = np.sqrt(-2.0 * np.log((low + 1.0) / 2.0**32))
    return radius * np.cos(2.0 * np.pi * high / 2.0**32)


def _mix(bits: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64 (Steele et al., OOPSLA 2014)."""
    bits = bits + np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
