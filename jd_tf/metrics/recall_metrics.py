"""Metrics of recalled lists against the items that users went on to.

Axis letters: B requests, K places of a list, R wanted items. Lists and wanted
items are raw ids or rows, padded by 0, b"" or, of rows, -1 (`padding`).
Ties are in the order that the list has: a list is what would be shown.
"""

import numpy as np


def found_at(
    lists: np.ndarray, wanted: np.ndarray, padding: int | bytes = 0
) -> np.ndarray:
    """Returns (B, R) int64: places of wanted items in lists, from 1.

    0 is not found. Padding is never found.

    Args:
        lists: (B, K) ids, best first, none twice but padding.
        wanted: (B, R) ids.
        padding: the id that is none.

    Example:
        >>> import numpy as np
        >>> found_at(np.array([[5, 7, 0]]), np.array([[7, 8, 0]])).tolist()
        [[2, 0, 0]]
    """
    places = np.zeros(wanted.shape, np.int64)
    # A wanted item at a time: (B, K, R) would be large.
    for column in range(wanted.shape[1]):
        ids = wanted[:, column, None]
        hit = (lists == ids) & (ids != padding)
        places[:, column] = np.where(hit.any(axis=1), hit.argmax(axis=1) + 1, 0)
    return places


def recall_at(places: np.ndarray, counted: np.ndarray, k: int) -> np.ndarray:
    """Returns (B,) share of the counted items among the first k.

    Recall of new, repeated or cold items alone is that of `counted` for these
    alone. nan where nothing counts.

    Args:
        places: (B, R) of `found_at`.
        counted: (B, R) bool, items that count; never padding.
        k: places of a list that count.

    Example:
        >>> import numpy as np
        >>> recall_at(np.array([[2, 0]]), np.array([[True, True]]), 5).tolist()
        [0.5]
    """
    hits = ((places > 0) & (places <= k) & counted).sum(axis=1)
    return _over(hits, counted.sum(axis=1))


def hit_rate_at(places: np.ndarray, counted: np.ndarray, k: int) -> np.ndarray:
    """Returns (B,) 1 where a counted item is among the first k, else 0.

    Arguments are those of `recall_at`.
    """
    hits = ((places > 0) & (places <= k) & counted).any(axis=1)
    return np.where(counted.any(axis=1), hits.astype(np.float64), np.nan)


def list_ndcg_at(places: np.ndarray, counted: np.ndarray, k: int) -> np.ndarray:
    """Returns (B,) NDCG of the first k, among all items of the catalogue.

    What a list does not hold gains nothing, and the ideal list begins with
    all counted items. Arguments are those of `recall_at`.

    Example:
        >>> import numpy as np
        >>> list_ndcg_at(np.array([[2]]), np.array([[True]]), 5).round(4)
        array([0.6309])
    """
    hit = (places > 0) & (places <= k) & counted
    gains = np.where(hit, 1.0 / np.log2(1.0 + np.maximum(places, 1)), 0.0)
    ideal = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, k + 2)))])
    number = np.minimum(counted.sum(axis=1), k)
    return _over(gains.sum(axis=1), ideal[number])


def coverage(lists: np.ndarray, present: np.ndarray, num_items: int) -> float:
    """Returns the share of a catalogue that is in any list.

    Args:
        lists: (B, K) ids.
        present: (B, K) bool, entries that are items.
        num_items: of the catalogue.
    """
    return len(np.unique(lists[present])) / num_items


def novelty(
    popularity: np.ndarray, present: np.ndarray, num_users: int
) -> np.ndarray:
    """Returns (B,) mean surprise of the items of each list, in bits.

    -log2 of the share of users who came to an item before; an item of nobody
    counts as one of half a user. nan for empty lists.

    Args:
        popularity: (B, K) users of each item listed.
        present: (B, K) bool, entries that are items.
        num_users: U.

    References:
        Tao Zhou et al., "Solving the apparent diversity-accuracy dilemma of
        recommender systems", PNAS 2010.
    """
    bits = -np.log2(np.maximum(popularity, 0.5) / num_users)
    return _over(np.where(present, bits, 0).sum(axis=1), present.sum(axis=1))


def _over(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Returns quotients, nan where the denominator is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(denominator > 0, numerator / denominator, np.nan)
