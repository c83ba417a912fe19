"""The policy by which the shop showed items while it was logging."""

import dataclasses

import numpy as np

from jd_tf.data.simulator.config import DAY
from jd_tf.data.simulator.shop.arrival_sampler import ArrivalSampler
from jd_tf.data.simulator.shop.catalogue import Catalogue

# Requests are logged where the shop recommends. Results of a search are not
# its own choice: they only leave their traces in the histories.
SCENARIOS = ("feed", "product_detail", "cart", "order_page")
ENTRIES = (*SCENARIOS, "search")
FEED, PRODUCT_DETAIL, CART_PAGE, ORDER_PAGE, SEARCH = range(len(ENTRIES))

# Where candidates come from, and how often in each scenario.
_SOURCES = (
    *("interest", "related", "brand", "seen", "query"),
    *("popular", "new", "random"),
)
_SHARES = np.array(
    [
        [0.40, 0.00, 0.06, 0.08, 0.00, 0.24, 0.10, 0.12],  # feed
        [0.10, 0.52, 0.10, 0.04, 0.00, 0.12, 0.06, 0.06],  # product detail
        [0.20, 0.20, 0.06, 0.30, 0.00, 0.14, 0.05, 0.05],  # cart
        [0.36, 0.10, 0.06, 0.08, 0.00, 0.24, 0.08, 0.08],  # order page
        [0.00, 0.00, 0.00, 0.00, 1.00, 0.00, 0.00, 0.00],  # search
    ]
)
# Pages below a cart or an order hold fewer items.
_PAGE_SHARE = np.array([1.0, 1.0, 0.6, 0.6, 1.0])
_NEW_DAYS = 7.0
_EVERYTHING = 0


@dataclasses.dataclass(frozen=True)
class KnownPast:
    """The past of some users as the shop knows it: their latest clicks."""

    items: np.ndarray  # (R, L) int, item numbers, newest first, -1 pads
    length: np.ndarray  # (R,) int
    carted: np.ndarray  # (R,) int, the item last put into the cart, -1 for none
    query: np.ndarray  # (R,) int, the category they search for, if they do


class LoggingPolicy:
    """Recalls candidates from what is logged, and orders them roughly.

    It knows categories, brands, weights and past clicks, never tastes,
    intents or appeal. Half of the order is noise, so that positions tell
    little about items.
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
        self._by_weight = ArrivalSampler(everything, arrival, weight)
        self._evenly = ArrivalSampler(everything, arrival, flat)
        self._crude = 0.4 * _standard(np.log(weight))

    def propose(
        self,
        rng: np.random.Generator,
        scenario: np.ndarray,
        time: np.ndarray,
        past: KnownPast,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Chooses and orders what to show.

        Args:
            rng: source of randomness.
            scenario: (R,) int, an index of `ENTRIES`.
            time: (R,) float, seconds since 1970.
            past: of the users.

        Returns:
            (R, N) int item numbers in the order shown, no item twice in a
            request, and (R,) int, how many of them are real; the rest are 0.
        """
        drawn = self._draw(rng, scenario, time, past)
        first = _first_occurrence(drawn)
        places = np.ceil(_PAGE_SHARE[scenario] * self.num_candidates)
        num_shown = np.minimum(first.sum(axis=1), places.astype(np.int64))
        rank = np.cumsum(first, axis=1)
        chosen = first & (rank <= num_shown[:, np.newaxis])

        known = self.catalogue.category[np.maximum(past.items, 0)]
        known = np.where(past.items >= 0, known, -1)
        category = self.catalogue.category[drawn]
        same = category[:, :, np.newaxis] == known[:, np.newaxis, :]
        share = same.mean(axis=2)
        score = self._crude[drawn] + 3.0 * share
        score += 0.6 * rng.gumbel(size=drawn.shape)
        score[~chosen] = -np.inf
        order = np.argsort(-score, axis=1)[:, : self.num_candidates]
        shown = np.take_along_axis(drawn, order, axis=1)
        places = np.arange(shown.shape[1])
        shown[places >= num_shown[:, np.newaxis]] = 0
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
        source = (point[:, :, np.newaxis] >= bounds[:, np.newaxis, :-1]).sum(2)
        uniform = rng.random(shape)
        until = np.broadcast_to(time[:, np.newaxis], shape)
        since = np.full(shape, -np.inf)

        # Recent clicks are looked up more often than old ones.
        back = past.length[:, np.newaxis] * rng.random(shape) ** 2
        event = np.take_along_axis(past.items, back.astype(np.int64), axis=1)
        last = np.broadcast_to(past.items[:, :1], shape)
        carted = np.broadcast_to(past.carted[:, np.newaxis], shape)
        take_cart = (scenario == CART_PAGE)[:, np.newaxis] & (carted >= 0)
        take_cart &= rng.random(shape) < 0.5
        seen = np.where(take_cart, carted, event)

        drawn = np.full(shape, -1)
        catalogue = self.catalogue

        def fill(name: str, sampler, group_of, items, first=since) -> None:
            wanted = (source == _SOURCES.index(name)) & (items >= 0)
            group = group_of[items[wanted]]
            drawn[wanted] = sampler.draw(
                group, first[wanted], until[wanted], uniform[wanted]
            )

        fill("interest", self._by_category, catalogue.category, event)
        fill("related", self._by_category, catalogue.category, last)
        fill("brand", self._by_brand, catalogue.brand, event)
        query = np.broadcast_to(past.query[:, np.newaxis], shape)
        categories = np.arange(catalogue.num_categories)
        fill("query", self._by_category, categories, query)
        wanted = source == _SOURCES.index("seen")
        drawn[wanted] = seen[wanted]
        everything = np.zeros(shape, np.int64)
        nothing = np.full(1, _EVERYTHING)
        fill("new", self._evenly, nothing, everything, until - _NEW_DAYS * DAY)
        fill("random", self._evenly, nothing, everything)
        # Popular items, and whatever could not be found otherwise.
        missing = drawn < 0
        drawn[missing] = self._by_weight.draw(
            everything[missing],
            since[missing],
            until[missing],
            uniform[missing],
        )
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


def _standard(values: np.ndarray) -> np.ndarray:
    return (values - values.mean()) / values.std()
