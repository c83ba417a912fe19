"""Probabilities of what users do with a list: the equations of the shop."""

import dataclasses

import numpy as np

from jd_tf.data.simulator.behavior import (
    CART,
    CLICK,
    LONG_VIEW,
    ORDER,
    BehaviorParameters,
)
from jd_tf.data.simulator.people.users import BUYING, Tastes
from jd_tf.data.simulator.shop.catalogue import Catalogue

# Clicks of a session after which users do not narrow further.
_MOST_NARROW = 4.0


@dataclasses.dataclass(frozen=True)
class ShownList:
    """Lists of items in front of some users."""

    users: np.ndarray  # (R,) int64, numbers of the users in the whole shop
    items: np.ndarray  # (R, N) int; any item beyond a request's size
    num_shown: np.ndarray  # (R,) int, size of each request
    scenario: np.ndarray  # (R,) int
    intent: np.ndarray  # (R,) int
    focus: np.ndarray  # (R,) int, the interest the session is about
    owned: np.ndarray  # (R, N) bool, True where the user has bought this item
    anchor: np.ndarray  # (R,) int, item clicked last in the session, or -1
    num_clicks: np.ndarray  # (R,) float, clicks of the session so far
    days: np.ndarray  # (R,) float, time since 1970
    tastes: Tastes

    @property
    def real(self) -> np.ndarray:
        """(R, N) bool, True where a place has an item."""
        return np.arange(self.items.shape[1]) < self.num_shown[:, None]


@dataclasses.dataclass(frozen=True)
class _Match:
    """Agreement of tastes and items, (R, N) each."""

    slot: np.ndarray  # The interest that the item's category is of, or -1
    interest: np.ndarray  # Strength of that interest
    need: np.ndarray  # True where it is to be bought soon
    brand: np.ndarray  # True for that interest's favourite brand
    price: np.ndarray  # In (0, 1], 1 where the price level is the one liked
    style: np.ndarray  # About N(0, 1), likeness of styles
    circle: np.ndarray  # True for the circle of that interest or of the user


@dataclasses.dataclass(frozen=True)
class Probabilities:
    """Probabilities of all actions, once an item is examined."""

    wanted: np.ndarray  # (R, N) float, of a click out of attraction
    # (R, N, 6) float, of each objective after a wanted click; `order` without a
    # cart.
    given_wanted: np.ndarray
    order_carted: np.ndarray  # (R, N) float, of an order once it is in the cart
    dwell_mean: np.ndarray  # (R, N) float, log seconds of a wanted visit
    # (R, N, 3) float, Poisson rates of the counters; of comment reads, those
    # after the first.
    counter_rates: np.ndarray
    relevance: np.ndarray  # (R, N, 6) float, of objectives, with accidents


def outcome_chances(
    catalogue: Catalogue, behavior: BehaviorParameters, shown: ShownList
) -> Probabilities:
    """Returns the probabilities for some lists, position apart."""
    b = behavior
    base = b.click_base + np.asarray(b.scenario_offsets)
    suits = _match(catalogue, shown.items, shown.tastes)
    liking = private_liking(shown.users, shown.items)
    private = liking * b.private_spread
    buying = (shown.intent == BUYING)[:, None]
    in_focus = suits.slot == shown.focus[:, None]
    price = suits.price - 0.5
    level = catalogue.price_level[shown.items]
    again = suits.need & catalogue.consumed[catalogue.category[shown.items]]
    owned = np.where(again, b.click_again, b.click_owned) * shown.owned
    phase = 2 * np.pi / b.trend_days * shown.days[:, None]
    trend = np.sin(phase + catalogue.trend[catalogue.circle[shown.items]])

    attraction = (
        base[shown.scenario][:, None]
        + shown.tastes.readiness[:, None]
        + b.click_interest * suits.interest
        + np.where(in_focus, b.click_focus, buying * b.click_off_focus)
        + b.click_brand * suits.brand
        + b.click_price * price
        + b.click_style * suits.style
        + owned
        + b.click_circle * suits.circle
        + b.click_trend * trend
        + _after_anchor(catalogue, b, shown)
        + b.click_dear * level
        + catalogue.appeal[shown.items]
    )
    wanted = _sigmoid(attraction + private)
    content = (
        b.match_interest * suits.interest
        + b.match_brand * suits.brand
        + b.match_price * price
        + b.match_style * suits.style
        + b.match_circle * suits.circle
        + catalogue.merit[shown.items]
        + private
    )
    dwell_mean = b.dwell_mean + b.dwell_match * content
    comment = (
        b.comment_base
        + b.comment_need * suits.need
        + b.comment_buying * buying
        + b.comment_match * content
    )
    favourite = (
        b.favourite_base
        + b.favourite_buying * buying
        + b.favourite_match * content
        + b.favourite_style * suits.style
    )
    cart = (
        b.cart_base
        + b.cart_need * suits.need
        + b.cart_buying * buying
        + b.cart_match * content
        + b.cart_price * price
        + b.order_dear * level
    )
    order = (
        b.order_base
        + b.order_need * suits.need
        + b.order_buying * buying
        + b.order_match * content
        + b.order_price * price
        + b.order_dear * level
    )
    long = _long_view(b, dwell_mean, b.dwell_spread)
    # In the order of `OBJECTIVES`.
    later = [long, *map(_sigmoid, (comment, cart, favourite, order))]
    given = np.stack([np.ones(wanted.shape), *later], axis=-1)
    order_carted = _sigmoid(order + b.order_carted)
    image = b.image_base + b.image_style * suits.style
    comments = np.full(wanted.shape, b.comment_more)
    specification = b.specification_base + b.specification_need * suits.need
    rates = np.exp(np.stack([image, comments, specification], axis=-1))

    relevance = wanted[..., None] * given
    carted, uncarted = given[..., CART], 1.0 - given[..., CART]
    relevance[..., ORDER] = wanted * (
        carted * order_carted + uncarted * given[..., ORDER]
    )
    accident = b.accident_rate * (1.0 - wanted)
    relevance[..., CLICK] += accident
    relevance[..., LONG_VIEW] += accident * _long_view(
        b, b.accident_dwell_mean, b.accident_dwell_spread
    )
    return Probabilities(
        wanted, given, order_carted, dwell_mean, rates, relevance
    )


def _long_view(
    behavior: BehaviorParameters, mean: np.ndarray | float, spread: float
) -> np.ndarray:
    """Returns the probability that a log-logistic dwell is a long view."""
    over = mean - np.log(behavior.long_view_seconds)
    # A logistic number of scale 1 has this standard deviation.
    return _sigmoid(over / spread * np.pi / np.sqrt(3.0))


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-logits))


def _match(catalogue: Catalogue, items: np.ndarray, tastes: Tastes) -> _Match:
    """Compares (R, N) items with the tastes of R users.

    An item outside of all interests is compared with the user's own taste.
    """
    category = catalogue.category[items][:, :, None]
    same = category == tastes.interest_category[:, None, :]
    found = same.any(axis=2)
    slot = same.argmax(axis=2)
    at = np.arange(len(items))[:, None], slot
    price = np.where(found, tastes.interest_price[at], tastes.price[:, None])
    own = tastes.style[:, None]
    style = np.where(found[..., None], tastes.interest_style[at], own)
    distance = catalogue.price_level[items] - price
    group = catalogue.circle[items]
    of_user = (group[:, :, None] == tastes.circles[:, None]).any(axis=2)
    circle = np.where(found, group == tastes.interest_circle[at], of_user)
    brand = tastes.interest_brand[at] == catalogue.brand[items]
    return _Match(
        slot=np.where(found, slot, -1),
        interest=found * tastes.interest_strength[at],
        need=found & tastes.interest_need[at],
        brand=found & brand,
        price=np.exp(-0.5 * distance**2),
        style=(catalogue.style[items] * style).sum(axis=-1),
        circle=circle,
    )


def _after_anchor(
    catalogue: Catalogue, behavior: BehaviorParameters, shown: ShownList
) -> np.ndarray:
    """Returns (R, N) logits that the item clicked last lends to others.

    While browsing a little, while buying a lot, users look at what could
    replace it: the same product at about the same price, more narrowly with
    every click of the session.
    """
    items, anchor = shown.items, shown.anchor[:, None]
    category, circle = catalogue.category, catalogue.circle
    distance = catalogue.price_level[items] - catalogue.price_level[anchor]
    narrow = 0.5 * np.minimum(shown.num_clicks, _MOST_NARROW)[:, None]
    alike = np.exp(-narrow * distance**2)
    alike *= category[items] == category[anchor]
    weight = np.take(behavior.click_substitute, shown.intent)[:, None]
    ties = (
        weight * alike
        + behavior.click_same_circle * (circle[items] == circle[anchor])
        + behavior.click_companion
        * catalogue.companion[category[anchor], category[items]]
    )
    # The item itself is no alternative to itself.
    return ties * ((anchor >= 0) & (items != anchor))


def private_liking(users: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Hashes pairs of (R,) users and (R, N) items to N(0, 1) likings."""
    pair = users.astype(np.uint64)[:, None] << np.uint64(32)
    bits = mix(pair | items.astype(np.uint64))
    low = (bits & np.uint64(0xFFFFFFFF)).astype(np.float64)
    high = (bits >> np.uint64(32)).astype(np.float64)
    # Box and Muller's transform of two uniform numbers.
    radius = np.sqrt(-2.0 * np.log((low + 1.0) / 2.0**32))
    return radius * np.cos(2.0 * np.pi * high / 2.0**32)


def mix(bits: np.ndarray) -> np.ndarray:
    """Hashes uint64: the finaliser of splitmix64 (Steele, OOPSLA 2014)."""
    bits = bits + np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
