"""Metrics of one target among a whole catalogue, from its place."""

import numpy as np


def place_metrics(
    above: np.ndarray,
    tied: np.ndarray,
    places: tuple[int, ...] = (10, 20, 100),
    ndcg_places: tuple[int, ...] = (10,),
) -> dict[str, np.ndarray]:
    """Returns `recall@k` and `ndcg@k` of each request, (R,) float64.

    With one target the recall is the hit rate. Tied items share the mean over
    their places, so that constant scores are worth what chance is.

    Args:
        above: (R,) items that score above the target.
        tied: (R,) other items that score as the target does.
        places: k of the recall.
        ndcg_places: k of the NDCG.

    Example:
        >>> import numpy as np
        >>> found = place_metrics(np.array([0, 9, 10]), np.zeros(3))
        >>> found["recall@10"].tolist()
        [1.0, 1.0, 0.0]
    """
    first, count = np.asarray(above, np.int64), np.asarray(tied, np.int64) + 1
    found = {}
    for k in places:
        found[f"recall@{k}"] = np.clip(k - first, 0, count) / count
    for k in ndcg_places:
        gained = np.zeros(k + 1)
        np.cumsum(1.0 / np.log2(np.arange(2, k + 2)), out=gained[1:])
        last = np.minimum(first + count, k)
        found[f"ndcg@{k}"] = (
            gained[last] - gained[np.minimum(first, k)]
        ) / count
    return found
