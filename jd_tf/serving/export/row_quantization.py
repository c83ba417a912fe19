"""Tables of vectors as whole numbers of eight bits, in NumPy.

Each row has a scale of its own: the largest value of the row becomes 127, so
a rare item's small vector is rounded as finely as a popular one's large one.
"""

import numpy as np

LARGEST_CODE = 127


def quantize_rows(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rounds every row to whole numbers from -127 to 127 times its scale.

    Args:
        table: (V, D) float, finite.

    Returns:
        `codes` (V, D) int8 and `scales` (V,) float32, 0 for a row of zeros.
        A value comes back as `code * scale`, off by half a scale at most.

    Raises:
        ValueError: if a value is not finite.
    """
    table = np.asarray(table, np.float32)
    if not np.isfinite(table).all():
        row = int(np.flatnonzero(~np.isfinite(table).all(axis=1))[0])
        raise ValueError(f"row {row} of the table is not finite.")
    largest = np.abs(table).max(axis=1, initial=0.0)
    scales = (largest / LARGEST_CODE).astype(np.float32)
    # A scale may underflow to zero where a row is next to nothing.
    divisors = np.where(scales > 0, scales, np.float32(1.0))
    codes = np.rint(table / divisors[:, None])
    codes = np.clip(codes, -LARGEST_CODE, LARGEST_CODE)
    return codes.astype(np.int8), scales


def restore_rows(codes: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """What `quantize_rows` left of a table, (V, D) float32."""
    return codes.astype(np.float32) * scales[:, None]
