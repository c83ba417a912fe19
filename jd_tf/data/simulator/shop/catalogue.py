"""Brands, shops and items of the simulated shop."""

import numpy as np

from jd_tf.data.simulator.behavior import BehaviorParameters
from jd_tf.data.simulator.config import DAY, SimulatorConfig
from jd_tf.data.simulator.shop import words

STYLE_DIM = 4
_OLDEST_DAYS = 720.0
_WARM_UP_ARRIVALS = 0.2
_SHOP_SERVICE_SPREAD = 0.2
_COMPANIONS = 2
_CIRCLE_SPREAD = 0.5
_WEIGHT_SPREAD = 0.55
_CATALOGUE_STREAM = 1


class Catalogue:
    """Brands, shops and items with all their true properties.

    Arrays are indexed by item number; ids start at 1, so that 0 can pad:
    item number `i` has id `i + 1`, and likewise categories, brands, shops.
    Of items, `style` (items, 4) is hue vector, tone and pattern, `price_level`
    the price within the category, both about N(0, 1); `appeal` (logit) makes
    people click, `merit` shows on the item's page only, `weight` is how much
    the shop shows it, and `late` ones arrive while logging. `brand_weight`
    (brands, categories) is 0 where a brand sells none; `category_weight` is
    how many people want it. `circle` (items,) is the circle of taste that an
    item appeals to and `trend` (circles,) the phase of its fashion;
    `companion` (categories, categories) is True where the second is bought
    after the first, `consumed` (categories,) where goods are used up.
    """

    def __init__(self, config: SimulatorConfig, behavior: BehaviorParameters):
        rng = np.random.default_rng([config.seed, _CATALOGUE_STREAM])
        self.category_weight = rng.lognormal(0.0, 0.5, config.num_categories)
        self.category_weight /= self.category_weight.sum()
        brands, categories = config.num_brands, config.num_categories
        self.brand_style = rng.normal(size=(brands, STYLE_DIM))
        self.brand_price = rng.normal(size=brands)
        serves = rng.random((brands, categories)) < 1.5 / categories
        # Every category has brands, every brand has a category.
        serves[np.arange(brands), np.arange(brands) % categories] = True
        strength = rng.lognormal(0.0, 0.7, brands)
        self.brand_weight = serves * strength[:, None]
        extra = rng.integers(brands, size=config.num_shops - brands)
        self.shop_brand = np.concatenate([np.arange(brands), extra])
        service = rng.normal(size=config.num_shops)
        self.shop_service = _SHOP_SERVICE_SPREAD * service
        self._make_items(rng, config, behavior)
        ring = rng.permutation(categories)
        self.goes_with = np.empty((categories, _COMPANIONS), np.int64)
        for step in range(_COMPANIONS):
            self.goes_with[ring, step] = np.roll(ring, -1 - step)
        self.companion = np.zeros((categories, categories), bool)
        np.put_along_axis(self.companion, self.goes_with, True, axis=1)
        self.consumed = rng.random(categories) < behavior.consumed_share
        self.circle = rng.integers(behavior.num_circles, size=config.num_items)
        self.trend = rng.uniform(0.0, 2 * np.pi, behavior.num_circles)
        self.circle_weight = rng.lognormal(
            0.0, _CIRCLE_SPREAD, behavior.num_circles
        )
        self.circle_weight /= self.circle_weight.sum()

    def _make_items(
        self,
        rng: np.random.Generator,
        config: SimulatorConfig,
        behavior: BehaviorParameters,
    ) -> None:
        items, categories = config.num_items, config.num_categories
        category = rng.choice(categories, items, p=self.category_weight)
        # The first ones keep any category from starting empty.
        category[: 2 * categories] = np.arange(2 * categories) % categories
        late = np.zeros(items, bool)
        num_late = round(items * config.cold_start_share)
        late[items - num_late :] = True
        age = rng.uniform(0.0, _OLDEST_DAYS * DAY, items)
        arrival = config.warm_up_time - age
        recent = rng.random(items) < _WARM_UP_ARRIVALS
        recent[: 2 * categories] = False
        start, end = config.start_time, config.end_time
        arrival[recent] = rng.uniform(config.warm_up_time, start, recent.sum())
        arrival[late] = rng.uniform(start, end, num_late)
        mixed = rng.permutation(items)
        self.category, self.late = category[mixed], late[mixed]
        self.arrival_time = arrival[mixed]

        self.brand = _choose(rng, self.category, self.brand_weight.T)
        sells = self.shop_brand == np.arange(config.num_brands)[:, None]
        self.shop = _choose(rng, self.brand, sells)

        shared = np.sqrt(behavior.brand_style_share)
        own = np.sqrt(1.0 - behavior.brand_style_share)
        self.style = shared * self.brand_style[self.brand]
        self.style += own * rng.normal(size=(items, STYLE_DIM))
        self.price_level = shared * self.brand_price[self.brand]
        self.price_level += own * rng.normal(size=items)
        usual = rng.uniform(3.0, 7.0, categories)[self.category]
        self.log_price = usual + 0.5 * self.price_level

        seen = np.sqrt(behavior.fashion_share)
        unseen = np.sqrt(1.0 - behavior.fashion_share)
        fashion = rng.normal(size=STYLE_DIM)
        fashion /= np.linalg.norm(fashion)
        common = rng.normal(size=items)
        appeal = seen * self.style @ fashion + unseen * common
        self.appeal = behavior.appeal_spread * appeal
        # Goods with a pleasing look have slightly more merit.
        merit = 0.3 * common + np.sqrt(1 - 0.3**2) * rng.normal(size=items)
        self.merit = behavior.merit_spread * merit
        self.merit += self.shop_service[self.shop]
        self.weight = np.exp(
            self.appeal + _WEIGHT_SPREAD * rng.normal(size=items)
        )

    @property
    def num_items(self) -> int:
        """Products, late ones included."""
        return len(self.category)

    def cell(self, category: np.ndarray, circle: np.ndarray) -> np.ndarray:
        """Returns numbers of the cells of a category and a circle."""
        return category * len(self.trend) + circle

    def title(self, item: int) -> str:
        """Returns the title of an item number: brand, style and product."""
        name = words.brand_name(int(self.brand[item]))
        word = words.CATEGORY_WORDS[self.category[item]]
        return " ".join([name, *words.style_words(self.style[item]), word])


def _choose(
    rng: np.random.Generator, group: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Draws a column of (groups, columns) weights for each item's group."""
    drawn = np.empty(len(group), np.int64)
    for number, row in enumerate(weights.astype(np.float64)):
        mine = np.flatnonzero(group == number)
        drawn[mine] = rng.choice(len(row), len(mine), p=row / row.sum())
    return drawn
