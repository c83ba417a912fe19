"""Size, calendar and seed of the simulated shop."""

import dataclasses
import itertools

from jd_tf.data.simulator.shop.words import CATEGORY_WORDS
from jd_tf.schema import DataError

DAY = 86_400.0


@dataclasses.dataclass(frozen=True)
class SimulatorConfig:
    """Size, calendar and seed of a simulated shop.

    The coefficients of its users are `BehaviorParameters`; the reasons for
    the numbers are in `docs/simulator.md`.

    Attributes:
        num_users: people who visit the shop.
        num_items: products, late ones included.
        num_requests: expected number of logged requests, all splits together;
            the real number is random and a few percent off.
        num_days: days that are logged.
        num_warm_up_days: days that pass before logging starts, so that users
            have a past; longer than the memory of most interests.
        num_candidates: items shown at most in a request.
        num_categories: product words in use.
        num_brands: brands; each serves a few categories.
        num_shops: shops; each sells the goods of one brand.
        cold_start_share: share of the items that arrive while logging.
        validation_share: share of the logged days, after the training days.
        test_share: share of the logged days, the last ones.
        click_length: clicks kept in a history.
        cart_length: cart additions kept in a history.
        order_length: orders kept in a history.
        counter_hours: past counters of items are brought up to date this often.
        block_size: users simulated together. Part of what is drawn: another
            size is another world.
        start_time: first logged second, in seconds since 1970.
        seed: of everything.
        titles: adds the items' titles to the requests.
        photos: writes the photos of all items beside the requests.
        session_worlds: whether outcomes are worth something else in browsing
            and in buying sessions, which look alike in what they order.

    Raises:
        DataError: naming the field and its value.

    Example:
        >>> from jd_tf.data import SimulatorConfig
        >>> config = SimulatorConfig(num_users=600, num_days=10)
        >>> config.num_blocks
        3
        >>> first, end = config.split_times["test"]
        >>> (end - first) / 86_400
        2.0
    """

    num_users: int = 1_500
    num_items: int = 3_000
    num_requests: int = 30_000
    num_days: int = 21
    num_warm_up_days: int = 35
    num_candidates: int = 10
    num_categories: int = 24
    num_brands: int = 96
    num_shops: int = 160
    cold_start_share: float = 0.15
    validation_share: float = 0.1
    test_share: float = 0.2
    click_length: int = 50
    cart_length: int = 20
    order_length: int = 20
    counter_hours: int = 6
    block_size: int = 250
    start_time: int = 1_704_067_200
    seed: int = 1
    titles: bool = False
    photos: bool = False
    session_worlds: bool = False

    def __post_init__(self) -> None:
        validation, test = self.validation_share, self.test_share
        categories, brands = self.num_categories, self.num_brands
        most, least = len(CATEGORY_WORDS), 4 * categories
        late = self.cold_start_share
        limits = {
            "start_time": (True, "any"),
            "seed": (self.seed >= 0, ">= 0"),
            "num_warm_up_days": (self.num_warm_up_days >= 0, ">= 0"),
            "num_candidates": (self.num_candidates >= 2, ">= 2"),
            "num_categories": (6 <= categories <= most, f"6 to {most}"),
            "num_items": (self.num_items >= least, "at least 4 a category"),
            "num_brands": (brands >= categories, "at least `num_categories`"),
            "num_shops": (self.num_shops >= brands, "at least `num_brands`"),
            "cold_start_share": (0 <= late <= 0.5, "between 0 and 0.5"),
            "validation_share": (0 < validation < 1, "in (0, 1)"),
            "test_share": (
                0 < test < 1 and validation + test < 1,
                "in (0, 1) and below 1 - validation_share",
            ),
        }
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            usual = (field.type is not int or value >= 1, ">= 1")
            holds, limit = limits.get(field.name, usual)
            if not holds:
                raise DataError(
                    f"simulator: `{field.name}` must be {limit}. Got: {value}."
                )

    @property
    def num_blocks(self) -> int:
        """Blocks of users that are simulated independently."""
        return -(-self.num_users // self.block_size)

    @property
    def warm_up_time(self) -> float:
        """First simulated second."""
        return self.start_time - self.num_warm_up_days * DAY

    @property
    def end_time(self) -> float:
        """End of the log in seconds since 1970."""
        return self.start_time + self.num_days * DAY

    @property
    def split_times(self) -> dict[str, tuple[float, float]]:
        """First second and end of each split; later days are never trained on.

        Boundaries are rounded to whole hours.
        """
        hours = self.num_days * 24
        training = 1 - self.validation_share - self.test_share
        test = round(hours * (1 - self.test_share))
        edges = [
            self.start_time + 3600.0 * hour
            for hour in (0, round(hours * training), test, hours)
        ]
        names = ("train", "validation", "test")
        return dict(zip(names, itertools.pairwise(edges), strict=True))
