"""Rows of sparse matrices: their entries, and the strongest of each."""

from typing import Any

import numpy as np
import scipy.sparse


def entries(matrix: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns rows, columns and values of a CSR matrix, in order."""
    matrix.sort_indices()
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    return rows, matrix.indices.astype(np.int64), matrix.data.astype(float)


def strongest(matrix: Any, number: int) -> Any:
    """Returns the largest entries above 0 of each row of a CSR matrix.

    Equal entries keep the lower column.

    Args:
        matrix: (R, C); its indices are sorted in place.
        number: entries that a row keeps at most, at least 1.

    Example:
        >>> matrix = scipy.sparse.csr_matrix([[3.0, 1.0, 3.0], [-1.0, 2.0, 0]])
        >>> strongest(matrix, 1).toarray().tolist()
        [[3.0, 0.0, 0.0], [0.0, 2.0, 0.0]]
    """
    matrix.sort_indices()
    starts, values = matrix.indptr, matrix.data
    kept = values > 0
    for row in np.flatnonzero(np.diff(starts) > number):
        mine = slice(starts[row], starts[row + 1])
        bound = -np.partition(-values[mine], number - 1)[number - 1]
        chosen = values[mine] > bound
        room = number - np.count_nonzero(chosen)
        chosen[np.flatnonzero(values[mine] == bound)[:room]] = True
        kept[mine] &= chosen
    before = np.concatenate([[0], np.cumsum(kept)])
    return scipy.sparse.csr_matrix(
        (values[kept], matrix.indices[kept], before[starts]), matrix.shape
    )
