"""A position bias that keeps the expected number of outcomes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from jd_tf.layers import EntireSpaceLogits
from jd_tf.layers.masking import length_mask

_TINY = 1e-30


def mean_preserving_bias(
    bias: Any,
    conditional: Any,
    entire_space: EntireSpaceLogits,
    given: Sequence[int],
    num_candidates: Any,
) -> Any:
    """Shifts the bias tower's logits, to be added to conditional ones.

    Serving leaves the bias tower out: an offset that it had learned for
    all impressions would be missing from the probabilities then. So it is
    shifted, an objective at a time, until it multiplies the expected number
    of outcomes by one. Good items stand in good places; hence the mean over
    outcomes, not over impressions. `bias` and `conditional` are logits
    (B, N, T); `given` names for each objective the one it needs, or -1.
    """
    bias = ops.cast(bias, "float32")
    real = length_mask(num_candidates, ops.shape(bias)[1])
    outcomes = entire_space.expected(entire_space(conditional))
    outcomes = ops.stop_gradient(ops.where(real[..., None], outcomes, 0.0))
    # An order needs its click: what moves the click moves it too. A column
    # of `chains` holds an objective and all that it needs.
    steps = np.eye(len(given), dtype="float32")
    chains = steps.copy()
    for t, parent in enumerate(given):
        if parent >= 0:
            chains[:, t] += chains[:, parent]
            steps[parent, t] = -1.0
    moved = outcomes * ops.exp(ops.matmul(bias, chains))
    before, after = ops.sum(outcomes, (0, 1)), ops.sum(moved, (0, 1))
    # By how much a whole chain is off, and of that each objective alone.
    rates = ops.log((after + _TINY) / (before + _TINY))
    return bias - ops.matmul(rates[None, :], steps)
