"""Measures of the differences among the items of shown lists.

Lists are (B, K), best first, with `length` (B,) real items each.
"""

import numpy as np

from jd_tf.metrics.cells import real_cells


def intra_list_distance(vectors: np.ndarray, length: np.ndarray) -> np.ndarray:
    """[B] mean of 1 - cosine over the pairs of different items of each list.

    nan for lists of fewer than two. Vectors of zeros are like nothing: their
    distance to all others is 1.

    Args:
        vectors: (B, K, D).
        length: (B,) items of each list.

    Example:
        >>> import numpy as np
        >>> vectors = np.array([[[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]])
        >>> intra_list_distance(vectors, np.array([3])).round(3).tolist()
        [0.667]

    References:
        Cai-Nicolas Ziegler et al., "Improving Recommendation Lists Through
        Topic Diversification", WWW 2005.
    """
    vectors = np.asarray(vectors, np.float64)
    norms = np.linalg.norm(vectors, axis=2, keepdims=True)
    real = real_cells(length, vectors.shape[1])[..., None]
    unit = np.where(real, vectors / np.where(norms > 0, norms, 1.0), 0.0)
    # All ordered pairs: the square of the sum, without each with itself.
    total = (unit.sum(axis=1) ** 2).sum(axis=1) - (unit**2).sum(axis=(1, 2))
    pairs = np.asarray(length) * (np.asarray(length) - 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(pairs > 0, 1.0 - total / pairs, np.nan)


def value_entropy(ids: np.ndarray, length: np.ndarray) -> np.ndarray:
    """[B] Shannon entropy in bits of the values in each list.

    nan for empty lists.

    Args:
        ids: (B, K), such as categories.
        length: (B,) items of each list.

    Example:
        >>> import numpy as np
        >>> ids = np.array([[5, 6, 5, 6], [7, 7, 0, 0]])
        >>> value_entropy(ids, np.array([4, 2])).tolist()
        [1.0, 0.0]
    """
    real = real_cells(length, ids.shape[1])
    _, codes = np.unique(ids, return_inverse=True)
    codes = codes.reshape(ids.shape)
    rows = np.broadcast_to(np.arange(len(ids))[:, None], ids.shape)
    width = int(codes.max(initial=0)) + 1
    counts = np.bincount(
        (rows * width + codes)[real], minlength=len(ids) * width
    ).reshape(len(ids), width)
    length = np.asarray(length)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = counts / length[:, None]
        terms = np.where(counts > 0, share * np.log2(share), 0.0)
    entropy = np.abs(terms.sum(axis=1))
    return np.where(length > 0, entropy, np.nan)
