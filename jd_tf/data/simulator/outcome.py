"""What users do with an item they look at: the equations of the shop."""

import dataclasses

import numpy as np

from jd_tf.data.simulator.behavior import BehaviorParameters
from jd_tf.data.simulator.catalogue import Catalogue
from jd_tf.data.simulator.matching import Match, match, private_liking
from jd_tf.data.simulator.objectives import (
    CART,
    CLICK,
    COMMENT_VIEW,
    FAVOURITE,
    LONG_VIEW,
    OBJECTIVES,
    ORDER,
)
from jd_tf.data.simulator.users import BUYING, Wishes


@dataclasses.dataclass(frozen=True)
class Moment:
    """Some users with a list of items in front of them.

    Attributes:
        users: (R,) int64, numbers of the users in the whole shop.
        items: (R, N) int, item numbers; places beyond a request's size may
            hold any item.
        scenario: (R,) int.
        intent: (R,) int.
        focus: (R,) int, the interest the session is about.
        owned: (R, N) bool, whether the user has bought this very item.
        wishes: what the users want.
    """

    users: np.ndarray
    items: np.ndarray
    scenario: np.ndarray
    intent: np.ndarray
    focus: np.ndarray
    owned: np.ndarray
    wishes: Wishes


@dataclasses.dataclass(frozen=True)
class Chances:
    """Probabilities of everything, once an item is examined.

    Attributes:
        wanted: (R, N) float, of a click out of attraction.
        given_wanted: (R, N, 6) float, of each objective after a wanted click;
            `order` without a cart.
        order_carted: (R, N) float, of an order once it is in the cart.
        dwell_mean: (R, N) float, mean of log seconds of a wanted visit.
        counter_rates: (R, N, 3) float, Poisson rates of the counters; of
            comment reads, those after the first.
        relevance: (R, N, 6) float, of each objective, accidents included.
    """

    wanted: np.ndarray
    given_wanted: np.ndarray
    order_carted: np.ndarray
    dwell_mean: np.ndarray
    counter_rates: np.ndarray
    relevance: np.ndarray


class OutcomeModel:
    """Probabilities of what users do, given everything hidden.

    Args:
        catalogue: what is true of the items.
        behavior: coefficients.
    """

    def __init__(self, catalogue: Catalogue, behavior: BehaviorParameters):
        self.catalogue, self.behavior = catalogue, behavior
        offsets = np.asarray(behavior.scenario_offsets)
        self._base = behavior.click_base + offsets

    def chances(self, moment: Moment) -> Chances:
        """The probabilities at a moment, position apart."""
        b = self.behavior
        suits = match(self.catalogue, moment.items, moment.wishes)
        private = private_liking(moment.users, moment.items)
        private *= b.private_spread
        buying = (moment.intent == BUYING)[:, np.newaxis]

        wanted = sigmoid(self._attraction(moment, suits, buying) + private)
        content = self._satisfaction(moment, suits) + private
        dwell_mean = b.dwell_mean + b.dwell_match * content
        given = np.empty((*moment.items.shape, len(OBJECTIVES)))
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
        counter_rates = np.exp(
            np.stack(
                [
                    b.image_base + b.image_style * suits.style,
                    np.full(wanted.shape, b.comment_more),
                    b.specification_base + b.specification_need * suits.need,
                ],
                axis=-1,
            )
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
        return Chances(
            wanted, given, order_carted, dwell_mean, counter_rates, relevance
        )

    def _attraction(
        self, moment: Moment, suits: Match, buying: np.ndarray
    ) -> np.ndarray:
        """Logit of a click, from what can be seen in the list."""
        b = self.behavior
        in_focus = suits.slot == moment.focus[:, np.newaxis]
        return (
            self._base[moment.scenario][:, np.newaxis]
            + moment.wishes.readiness[:, np.newaxis]
            + b.click_interest * suits.interest
            + np.where(in_focus, b.click_focus, buying * b.click_off_focus)
            + b.click_brand * suits.brand
            + b.click_price * (suits.price - 0.5)
            + b.click_style * suits.style
            + b.click_owned * moment.owned
            + self.catalogue.appeal[moment.items]
        )

    def _satisfaction(self, moment: Moment, suits: Match) -> np.ndarray:
        """How good an item turns out to be, its page open."""
        b = self.behavior
        return (
            b.match_interest * suits.interest
            + b.match_brand * suits.brand
            + b.match_price * (suits.price - 0.5)
            + b.match_style * suits.style
            + self.catalogue.merit[moment.items]
        )

    def _long(self, mean: np.ndarray | float, spread: float) -> np.ndarray:
        """Probability that a log-logistic dwell makes a long view."""
        over = mean - np.log(self.behavior.long_view_seconds)
        # A logistic number of scale 1 has this standard deviation.
        return sigmoid(over / spread * np.pi / np.sqrt(3.0))


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Logits to probabilities."""
    return 1.0 / (1.0 + np.exp(-logits))
