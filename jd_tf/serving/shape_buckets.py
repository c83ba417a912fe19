"""The shapes that requests are padded to, and that a server is warmed for.

Sizes between two buckets are rounded up: a server meets few shapes, all of
them before it is available. No TensorFlow is needed here.
"""

# Fewer candidates are padded to this many.
_SMALLEST = 16
# Requests B that a batching server runs together, ascending. The last is the
# largest call it takes.
BATCH_SIZES = (1, 2, 4, 8, 16)


def candidate_buckets(max_candidates: int) -> tuple[int, ...]:
    """Candidates N of the calls a model is warmed up for, ascending.

    They double, as the widths do that a client pads its slices to: at most
    half of a call is padding.

    Args:
        max_candidates: the schema's; the last bucket.
    """
    widths = []
    width = _SMALLEST
    while width < max_candidates:
        widths.append(width)
        width *= 2
    return (*widths, max_candidates)
