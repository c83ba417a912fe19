"""Draws the actions of users, and what each adds to their session."""

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
from jd_tf.data.simulator.people.keyed_draws import Draws
from jd_tf.data.simulator.people.outcome import Probabilities
from jd_tf.data.simulator.people.users import BUYING

_LONGEST_DWELL = 900.0  # seconds; the page's timer stops there
_VALUES = np.array([objective.value for objective in OBJECTIVES])


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
    rng: Draws,
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
    labels = (uniform < chances.given_wanted) & wanted[..., None]
    uncarted = chances.given_wanted[..., ORDER]
    ordered = np.where(labels[..., CART], chances.order_carted, uncarted)
    labels[..., ORDER] = wanted & (uniform[..., ORDER] < ordered)
    labels[..., CLICK] = wanted | accident
    labels[..., LONG_VIEW] = dwell > b.long_view_seconds

    counts = rng.poisson(chances.counter_rates).astype(np.float64)
    comments = COUNTERS.index("comment_reads")
    # A comment view is one comment read, and perhaps more.
    counts[..., comments] += 1.0
    counts[..., comments] *= labels[..., COMMENT_VIEW]
    counts *= wanted[..., None]
    return Actions(labels, wanted, dwell, counts)


def continuation(
    behavior: BehaviorParameters,
    intent: np.ndarray,
    num_wanted: np.ndarray,
    ordered: np.ndarray,
) -> np.ndarray:
    """Returns (R,) probabilities that users go on to another request."""
    leaves = 1.0 - np.take(behavior.continue_rates, intent)
    unheld = 1.0 - np.take(behavior.click_hold_rates, intent)
    stays = 1.0 - leaves * unheld**num_wanted
    found = ordered & (intent == BUYING)
    return np.where(found, behavior.continue_after_order, stays)


def session_reward(
    behavior: BehaviorParameters,
    intent: np.ndarray,
    labels: np.ndarray,
    wanted: np.ndarray,
) -> np.ndarray:
    """Returns (R, N): the value earned and the change of the session's rest.

    With `session_values` what those of the intent say, and nothing else.
    What is ordered while browsing is sent back more often.
    A wanted click makes another request likelier and gets an equal share of
    what all clicks of the request add to the expected rest of the session; an
    order that ends a buying session answers for the rest it cuts off.
    """
    if behavior.session_values:
        worth = np.array(behavior.session_values)[intent]
        return (labels * worth[:, None]).sum(axis=2)
    num_wanted = wanted.sum(axis=1)
    num_orders = labels[..., ORDER].sum(axis=1)
    nothing = np.zeros(len(intent), np.int64)
    alone = continuation(behavior, intent, nothing, nothing > 0)
    held = continuation(behavior, intent, num_wanted, nothing > 0)
    after = continuation(behavior, intent, num_wanted, num_orders > 0)
    rest = np.take(behavior.continuation_values, intent)
    a_click = rest * (held - alone) / np.maximum(num_wanted, 1)
    an_order = rest * (after - held) / np.maximum(num_orders, 1)
    clicks, orders = wanted * a_click[:, None], labels[..., ORDER]
    values = np.tile(_VALUES, (len(intent), 1))
    values[:, ORDER] *= np.take(behavior.kept_order_rates, intent)
    earned = (labels * values[:, None]).sum(axis=2)
    return earned + clicks + orders * an_order[:, None]
