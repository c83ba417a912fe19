"""Draws the actions of users from their probabilities."""

import dataclasses

import numpy as np

from jd_tf.data.simulator.behavior import (
    CART,
    CLICK,
    COMMENT_VIEW,
    COUNTERS,
    LONG_VIEW,
    OBJECTIVES,
    ORDER,
    BehaviorParameters,
)
from jd_tf.data.simulator.people.outcome import Probabilities

_LONGEST_DWELL = 900.0  # seconds; the page's timer stops there


@dataclasses.dataclass(frozen=True)
class Actions:
    """The actions on each item shown."""

    labels: np.ndarray  # (R, N, 6) bool
    wanted: np.ndarray  # (R, N) bool, clicks that were meant
    dwell: np.ndarray  # (R, N) float, seconds, 0 without a click
    counts: np.ndarray  # (R, N, 3) float, counters of the item's page


def examination(behavior: BehaviorParameters, num_positions: int) -> np.ndarray:
    """Returns (positions,) probabilities of being seen; 1 for the first."""
    return (1.0 + np.arange(num_positions)) ** -behavior.position_decay


def draw_actions(
    rng: np.random.Generator,
    behavior: BehaviorParameters,
    chances: Probabilities,
    real: np.ndarray,
) -> Actions:
    """Draws the actions; `real` (R, N) is True where a place has an item."""
    b, shape = behavior, real.shape
    examined = rng.random(shape) < examination(behavior, shape[1])
    examined &= real
    wanted = examined & (rng.random(shape) < chances.wanted)
    accident = examined & ~wanted & (rng.random(shape) < b.accident_rate)

    # Of variance 1, as the chance of a long view supposes.
    noise = rng.logistic(scale=np.sqrt(3.0) / np.pi, size=shape)
    meant = chances.dwell_mean + b.dwell_spread * noise
    missed = b.accident_dwell_mean + b.accident_dwell_spread * noise
    log_dwell = np.where(wanted, meant, missed)
    dwell = np.exp(np.minimum(log_dwell, np.log(_LONGEST_DWELL)))
    dwell *= wanted | accident

    uniform = rng.random((*shape, len(OBJECTIVES)))
    labels = (uniform < chances.given_wanted) & wanted[..., np.newaxis]
    ordered = np.where(
        labels[..., CART],
        chances.order_carted,
        chances.given_wanted[..., ORDER],
    )
    labels[..., ORDER] = wanted & (uniform[..., ORDER] < ordered)
    labels[..., CLICK] = wanted | accident
    labels[..., LONG_VIEW] = dwell > b.long_view_seconds

    counts = rng.poisson(chances.counter_rates).astype(np.float64)
    comments = COUNTERS.index("comment_reads")
    # A comment view is one comment read, and perhaps more.
    counts[..., comments] += 1.0
    counts[..., comments] *= labels[..., COMMENT_VIEW]
    counts *= wanted[..., np.newaxis]
    return Actions(labels, wanted, dwell, counts)
