"""The shapes that requests are padded to, and that a server is warmed for.

Sizes between two buckets are rounded up: a server meets few shapes, all of
them before it is available. No TensorFlow is needed here.
"""

# Requests B that a batching server runs together, ascending. The last is the
# largest call it takes.
BATCH_SIZES = (1, 2, 4, 8, 16)


def candidate_buckets(max_candidates: int) -> tuple[int, ...]:
    """Candidates N of the calls a model is warmed up for, ascending.

    They double up to the schema's maximum, as the widths do that a client pads
    its slices to: at most half of a call is padding.
    """
    # Fewer candidates are padded to 16.
    doubled = [2**power for power in range(4, max_candidates.bit_length())]
    return (*(w for w in doubled if w < max_candidates), max_candidates)
