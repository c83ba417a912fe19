"""Measures of how alike the items of a list are: 1 the same, 0 nothing shared.

By ids that items share (`SharedIds`: category, brand, shop), or by the cosine
of vectors (`VectorLikeness`): rows of the ranker's embedding tables, image
vectors, anything.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np


class Likeness(Protocol):
    """Compares an item of a list of N with all of them.

    The matrix of all rows must be symmetric and without negative eigenvalues,
    with a diagonal of ones or, for items of which nothing is known, zeros.
    """

    def __len__(self) -> int:
        """Returns N."""

    def row(self, item: int) -> np.ndarray:
        """Returns (N,) float64, a new array."""


class VectorLikeness:
    """The cosine of item vectors; a vector of zeros is like nothing.

    Args:
        vectors: (N, D) of any length.

    Raises:
        ValueError: naming the first number that is not finite.

    Example:
        >>> import numpy as np
        >>> vectors = np.array([[2.0, 0.0], [3.0, 4.0], [0.0, 0.0]])
        >>> VectorLikeness(vectors).row(0).round(2).tolist()
        [1.0, 0.6, 0.0]
    """

    def __init__(self, vectors: np.ndarray):
        vectors = np.asarray(vectors, np.float64)
        if vectors.ndim != 2:
            raise ValueError(
                f"item vectors must be (items, width). Got: {vectors.shape}."
            )
        if not np.isfinite(vectors).all():
            row, column = np.argwhere(~np.isfinite(vectors))[0]
            raise ValueError(
                f"item vectors must be finite. Got: {vectors[row, column]} at "
                f"[{row}, {column}]."
            )
        length = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))[:, None]
        self._vectors = vectors / np.where(length > 0, length, 1.0)

    def __len__(self) -> int:
        return len(self._vectors)

    def row(self, item: int) -> np.ndarray:
        """Returns (N,) cosines with an item."""
        return self._vectors @ self._vectors[item]


class SharedIds:
    """The cosine of one-hot ids: the share of columns with the same value.

    Args:
        columns: (N,) ids each; 0 and empty text are no value.

    Example:
        >>> import numpy as np
        >>> category, brand = np.array([3, 3, 4]), np.array([7, 8, 7])
        >>> SharedIds([category, brand]).row(0).round(2).tolist()
        [1.0, 0.5, 0.5]
    """

    def __init__(self, columns: Sequence[np.ndarray]):
        if not columns:
            raise ValueError("`columns` must name at least one.")
        codes = []
        for column in columns:
            values, code = np.unique(column, return_inverse=True)
            empty = b"" if column.dtype == object else 0
            # -1 - place: equal to no other item's.
            own = -1 - np.arange(len(column))
            codes.append(np.where(values[code] == empty, own, code))
        self._codes = np.stack(codes)
        known = (self._codes >= 0).sum(axis=0)
        self._scale = 1.0 / np.sqrt(np.maximum(known, 1))

    def __len__(self) -> int:
        return self._codes.shape[1]

    def row(self, item: int) -> np.ndarray:
        """Returns (N,) shares of equal ids with an item."""
        mine = self._codes[:, item, None]
        shared = np.count_nonzero((self._codes == mine) & (mine >= 0), axis=0)
        return shared * (self._scale * self._scale[item])
