"""Work over rows of a sparse matrix, block by block."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import scipy.sparse

from jd_tf.schema import DataError


def row_blocks(costs: np.ndarray, most: int) -> list[tuple[int, int]]:
    """Returns (start, stop) of blocks of rows that cost at most `most`.

    A row that costs more is a block of its own.

    Args:
        costs: (R,) cost of each row, at least 0.
        most: of a block.

    Raises:
        DataError: if `most` is below 1.

    Example:
        >>> row_blocks(np.array([2, 2, 9, 1]), most=4)
        [(0, 2), (2, 3), (3, 4)]
    """
    if most < 1:
        raise DataError(f"`max_entries` must be >= 1. Got: {most}.")
    total = np.cumsum(costs)
    blocks, start, before = [], 0, 0
    while start < len(costs):
        stop = int(np.searchsorted(total, before + most, side="right"))
        stop = max(stop, start + 1)
        blocks.append((start, stop))
        start, before = stop, total[stop - 1]
    return blocks


def stack_blocks(
    work: Callable[[int, int], Any], blocks: list[tuple[int, int]]
) -> Any:
    """Returns the rows that `work(start, stop)` makes of each block, as CSR.

    Blocks are worked on at the same time, one a core: SciPy and NumPy let
    go of the interpreter. The order of the rows is that of the blocks.
    """
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        parts = pool.map(lambda block: work(*block), blocks)
        return scipy.sparse.vstack(list(parts), format="csr")
