"""The shapes that requests are padded to, and that a server is warmed for.

Sizes between two buckets are rounded up: a server meets few shapes, all of
them before it says that it is available. No TensorFlow is needed here.
"""

from collections.abc import Sequence

# Candidates N of one call; a schema adds its own maximum.
CANDIDATE_SIZES = (10, 50, 100, 200, 500, 1000, 2000, 5000)
# Requests B that a batching server runs together, ascending. The last is the
# largest call it takes.
BATCH_SIZES = (1, 2, 4, 8, 16)


def candidate_buckets(max_candidates: int) -> tuple[int, ...]:
    """Candidates N of the calls a model is warmed up for, ascending.

    Args:
        max_candidates: the schema's; the last bucket.
    """
    smaller = [size for size in CANDIDATE_SIZES if size < max_candidates]
    return (*smaller, max_candidates)


def bucket_of(count: int, buckets: Sequence[int]) -> int:
    """The smallest bucket with room for `count`, or the largest there is."""
    return next((size for size in buckets if size >= count), buckets[-1])
