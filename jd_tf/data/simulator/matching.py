"""How items suit what users want."""

import dataclasses

import numpy as np

from jd_tf.data.simulator.catalogue import Catalogue
from jd_tf.data.simulator.users import Wishes


@dataclasses.dataclass(frozen=True)
class Match:
    """What a user's wishes have in common with items, (R, N) each.

    Attributes:
        slot: int, the interest that the item's category belongs to, or -1.
        interest: float >= 0, strength of that interest.
        need: bool, whether it is to be bought soon.
        brand: bool, whether it is that interest's favourite brand.
        price: float in (0, 1], 1 where the price level is the one liked.
        style: float, about N(0, 1), likeness of styles.
    """

    slot: np.ndarray
    interest: np.ndarray
    need: np.ndarray
    brand: np.ndarray
    price: np.ndarray
    style: np.ndarray


def match(catalogue: Catalogue, items: np.ndarray, wishes: Wishes) -> Match:
    """Compares (R, N) items with the wishes of R users.

    An item outside of all interests is compared with the user's own taste.
    """
    category = catalogue.category[items][:, :, np.newaxis]
    same = category == wishes.interest_category[:, np.newaxis, :]
    found = same.any(axis=2)
    slot = same.argmax(axis=2)
    rows = np.arange(len(items))[:, np.newaxis]
    price = np.where(
        found, wishes.interest_price[rows, slot], wishes.price[:, np.newaxis]
    )
    style = np.where(
        found[..., np.newaxis],
        wishes.interest_style[rows, slot],
        wishes.style[:, np.newaxis],
    )
    distance = catalogue.price_level[items] - price
    brand = wishes.interest_brand[rows, slot] == catalogue.brand[items]
    return Match(
        slot=np.where(found, slot, -1),
        interest=found * wishes.interest_strength[rows, slot],
        need=found & wishes.interest_need[rows, slot],
        brand=found & brand,
        price=np.exp(-0.5 * distance**2),
        style=(catalogue.style[items] * style).sum(axis=-1),
    )


def private_liking(users: np.ndarray, items: np.ndarray) -> np.ndarray:
    """One user's lasting liking for one item: a normal number, by hashing.

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
