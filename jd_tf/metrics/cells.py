"""Padded predictions -> the flat impressions of an objective."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Cells:
    """The impressions that count for one objective.

    Axis letters: R requests, N candidates, M impressions that count.

    Attributes:
        where: [R, N] bool, True where a cell counts.
        request: [M] int, the request of each.
        labels: [M] float, 0 or 1; or gains.
        weights: [M] float > 0, or None where all weigh 1.

    Example:
        >>> import numpy as np
        >>> labels = np.array([[1.0, 0.0], [1.0, np.nan]])
        >>> cells = Cells.of(labels, num_candidates=np.array([2, 1]))
        >>> cells.request.tolist(), cells.labels.tolist()
        ([0, 0, 1], [1.0, 0.0, 1.0])
    """

    where: np.ndarray
    request: np.ndarray
    labels: np.ndarray
    weights: np.ndarray | None

    @classmethod
    def of(
        cls,
        labels: np.ndarray,
        num_candidates: np.ndarray,
        label_weights: np.ndarray | None = None,
    ) -> "Cells":
        """Leaves out padding and what weighs nothing.

        Args:
            labels: [R, N].
            num_candidates: [R] int, real candidates; the rest is padding and
                may hold anything.
            label_weights: [R, N] >= 0; 1 each if None.
        """
        where = real_cells(num_candidates, labels.shape[1])
        weights = None
        if label_weights is not None:
            where = where & (np.where(where, label_weights, 0.0) > 0)
            weights = label_weights[where]
            if np.all(weights == 1):
                weights = None
        per_request = np.count_nonzero(where, axis=1)
        request = np.repeat(np.arange(len(where)), per_request)
        return cls(where, request, labels[where], weights)

    @property
    def num_requests(self) -> int:
        """R, those without any impression that counts included."""
        return len(self.where)

    def pick(self, values: np.ndarray) -> np.ndarray:
        """[M] of an [R, N] array."""
        if values.shape != self.where.shape:
            raise ValueError(
                f"expected an array of shape {self.where.shape}. "
                f"Got: {values.shape}."
            )
        return values[self.where]


def real_cells(num_candidates: np.ndarray, width: int) -> np.ndarray:
    """[R, N] bool, True where a candidate is real.

    Example:
        >>> import numpy as np
        >>> real_cells(np.array([2, 0]), width=3).tolist()
        [[True, True, False], [False, False, False]]
    """
    num_candidates = np.asarray(num_candidates)
    if len(num_candidates) and num_candidates.max() > width:
        raise ValueError(
            f"`num_candidates` of {num_candidates.max()} exceeds the "
            f"{width} columns there are."
        )
    return np.arange(width) < num_candidates[:, None]


def unequal_weights(weights: np.ndarray) -> np.ndarray | None:
    """Returns weights for scikit-learn's trees, None where all are 1.

    It cuts columns into bins at weighted quantiles otherwise, which takes
    twice as long as all trees.
    """
    return None if np.all(weights == 1) else weights
