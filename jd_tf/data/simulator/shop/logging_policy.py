"""The policy by which the shop showed items while it was logging."""

import dataclasses

import numpy as np

from jd_tf.data.simulator.config import DAY
from jd_tf.data.simulator.shop.catalogue import Catalogue

# Requests are logged where the shop recommends. Results of a search are not
# its own choice: they only leave their traces in the histories.
SCENARIOS = ("feed", "product_detail", "cart", "order_page")
ENTRIES = (*SCENARIOS, "search")
FEED, PRODUCT_DETAIL, CART_PAGE, ORDER_PAGE, SEARCH = range(len(ENTRIES))

# Where candidates come from, and how often in each scenario.
_SOURCES = (
    *("interest", "related", "brand", "seen", "query"),
    *("popular", "new", "random", "alike", "companion"),
)
_SHARES = np.array(
    [
        [0.20, 0.00, 0.04, 0.06, 0.00, 0.16, 0.08, 0.10, 0.28, 0.08],  # feed
        [0.06, 0.20, 0.06, 0.04, 0.00, 0.06, 0.05, 0.05, 0.36, 0.12],  # product
        [0.10, 0.10, 0.04, 0.24, 0.00, 0.08, 0.04, 0.04, 0.20, 0.16],  # cart
        [0.16, 0.06, 0.04, 0.06, 0.00, 0.16, 0.07, 0.07, 0.14, 0.24],  # order
        [0.00, 0.00, 0.00, 0.00, 1.00, 0.00, 0.00, 0.00, 0.00, 0.00],  # search
    ]
)
# Pages below a cart or an order hold fewer items.
_PAGE_SHARE = np.array([1.0, 1.0, 0.6, 0.6, 1.0])
_NEW_DAYS = 7.0


class ArrivalSampler:
    """Draws items of a group, by weight, among those that have arrived.

    Items lie by group and, within it, by arrival, with running sums of weights;
    so a draw is two binary searches, for any number of draws at once.
    """

    def __init__(
        self, group: np.ndarray, arrival_time: np.ndarray, weight: np.ndarray
    ):
        self._order = np.lexsort((arrival_time, group))
        self._first_time = arrival_time.min()
        # Groups lie this far apart on the line of keys.
        self._span = 10.0 * (arrival_time.max() - self._first_time + 1.0)
        self._keys = self._key(group[self._order], arrival_time[self._order])
        self._sums = np.cumsum(np.append(0.0, weight[self._order]))

    def _key(self, group: np.ndarray, time: np.ndarray) -> np.ndarray:
        since = np.clip(time - self._first_time, 0.0, 0.5 * self._span)
        return group * self._span + since

    def draw(
        self,
        group: np.ndarray,
        since: np.ndarray,
        until: np.ndarray,
        uniform: np.ndarray,
    ) -> np.ndarray:
        """Draws (draws,) items that arrived between; -1 where there is none."""
        first = np.searchsorted(self._keys, self._key(group, since), "left")
        end = np.searchsorted(self._keys, self._key(group, until), "right")
        low, high = self._sums[first], self._sums[end]
        place = np.searchsorted(
            self._sums, low + uniform * (high - low), "right"
        )
        place = np.clip(place - 1, first, np.maximum(end - 1, first))
        found = self._order[np.minimum(place, len(self._order) - 1)]
        return np.where(end > first, found, -1)


@dataclasses.dataclass(frozen=True)
class KnownPast:
    """The past of some users as the shop knows it: their latest clicks."""

    items: np.ndarray  # (R, L) int, item numbers, newest first, -1 pads
    carted: np.ndarray  # (R,) int, the item last put into the cart, -1 for none
    query: np.ndarray  # (R,) int, the category they search for, if they do


class LoggingPolicy:
    """Recalls candidates from what is logged, never from tastes or intents.

    Half of the rough order is noise, so that positions tell little about items.
    """

    def __init__(self, catalogue: Catalogue, num_candidates: int):
        self.catalogue = catalogue
        self.num_candidates = num_candidates
        # So many draws nearly always hold enough different items.
        self._num_draws = 2 * num_candidates + 4
        arrival, weight = catalogue.arrival_time, catalogue.weight
        everything = np.zeros(catalogue.num_items, np.int64)
        flat = np.ones(catalogue.num_items)
        self._by_category = ArrivalSampler(catalogue.category, arrival, weight)
        self._by_brand = ArrivalSampler(catalogue.brand, arrival, weight)
        cell = catalogue.cell(catalogue.category, catalogue.circle)
        self._by_cell = ArrivalSampler(cell, arrival, weight)
        self._by_weight = ArrivalSampler(everything, arrival, weight)
        self._evenly = ArrivalSampler(everything, arrival, flat)
        known = np.log(weight)
        self._crude = 0.4 * ((known - known.mean()) / known.std())

    def propose(
        self,
        rng: np.random.Generator,
        scenario: np.ndarray,
        time: np.ndarray,
        past: KnownPast,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns (R, N) different items in order and how many are real."""
        drawn = self._draw(rng, scenario, time, past)
        first = _first_occurrence(drawn)
        places = np.ceil(_PAGE_SHARE[scenario] * self.num_candidates)
        num_shown = np.minimum(first.sum(axis=1), places.astype(np.int64))
        rank = np.cumsum(first, axis=1)
        chosen = first & (rank <= num_shown[:, None])

        category = self.catalogue.category
        known = np.where(past.items >= 0, category[past.items], -1)
        same = category[drawn][:, :, None] == known[:, None]
        score = self._crude[drawn] + 3.0 * same.mean(axis=2)
        score += 0.6 * rng.gumbel(size=drawn.shape)
        score[~chosen] = -np.inf
        order = np.argsort(-score, axis=1)[:, : self.num_candidates]
        shown = np.take_along_axis(drawn, order, axis=1)
        shown[np.arange(shown.shape[1]) >= num_shown[:, None]] = 0
        return shown, num_shown

    def _draw(
        self,
        rng: np.random.Generator,
        scenario: np.ndarray,
        time: np.ndarray,
        past: KnownPast,
    ) -> np.ndarray:
        """Draws (R, draws) items that have arrived, with repetitions."""
        shape = (len(time), self._num_draws)
        bounds = np.cumsum(_SHARES, axis=1)[scenario]
        point = rng.random(shape)
        source = (point[:, :, None] >= bounds[:, None, :-1]).sum(2)
        uniform = rng.random(shape)
        until = np.broadcast_to(time[:, None], shape)
        since = np.full(shape, -np.inf)

        # Recent clicks are looked up more often than old ones.
        length = (past.items >= 0).sum(axis=1, keepdims=True)
        back = length * rng.random(shape) ** 2
        event = np.take_along_axis(past.items, back.astype(np.int64), axis=1)
        last = np.broadcast_to(past.items[:, :1], shape)
        carted = np.broadcast_to(past.carted[:, None], shape)
        take_cart = (scenario == CART_PAGE)[:, None] & (carted >= 0)
        take_cart &= rng.random(shape) < 0.5
        seen = np.where(take_cart, carted, event)

        drawn = np.full(shape, -1)
        catalogue = self.catalogue
        query = np.broadcast_to(past.query[:, None], shape)
        everything = np.zeros(shape, np.int64)
        recent = until - _NEW_DAYS * DAY

        def fill(wanted, sampler, group, first=since) -> None:
            drawn[wanted] = sampler.draw(
                group[wanted], first[wanted], until[wanted], uniform[wanted]
            )

        def of(name: str, items=everything) -> np.ndarray:
            return (source == _SOURCES.index(name)) & (items >= 0)

        category, brand = catalogue.category, catalogue.brand
        fill(of("interest", event), self._by_category, category[event])
        fill(of("related", last), self._by_category, category[last])
        fill(of("brand", event), self._by_brand, brand[event])
        near, circle = category[event], catalogue.circle[event]
        fill(of("alike", event), self._by_cell, catalogue.cell(near, circle))
        # One of the two that go with it.
        goes = catalogue.goes_with[near, (2.0 * uniform).astype(np.int64)]
        fill(
            of("companion", event), self._by_cell, catalogue.cell(goes, circle)
        )
        fill(of("query"), self._by_category, query)
        np.copyto(drawn, seen, where=of("seen"))
        fill(of("new"), self._evenly, everything, recent)
        fill(of("random"), self._evenly, everything)
        # Popular items, and whatever could not be found otherwise.
        fill(drawn < 0, self._by_weight, everything)
        return drawn


def _first_occurrence(values: np.ndarray) -> np.ndarray:
    """Marks in (R, M) values those met for the first time in their row."""
    order = np.argsort(values, axis=1, kind="stable")
    ordered = np.take_along_axis(values, order, axis=1)
    fresh = np.ones(values.shape, bool)
    fresh[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    first = np.empty_like(fresh)
    np.put_along_axis(first, order, fresh, axis=1)
    return first
