"""The part of each item shown in the outcome of its session."""

import numpy as np

from jd_tf.data.simulator.behavior import (
    OBJECTIVES,
    ORDER,
    BehaviorParameters,
)
from jd_tf.data.simulator.people.users import BUYING

_VALUES = np.array([objective.value for objective in OBJECTIVES])


def continuation(
    behavior: BehaviorParameters,
    intent: np.ndarray,
    num_wanted: np.ndarray,
    ordered: np.ndarray,
) -> np.ndarray:
    """Returns (R,) probabilities that users go on to another request.

    Args:
        behavior: coefficients.
        intent: (R,) int.
        num_wanted: (R,) int, clicks of this request that were meant.
        ordered: (R,) bool, True after an order in this request.
    """
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
    """Adds the value earned at once and the change of the session's rest.

    A wanted click makes another request likelier and gets an equal share of
    what all clicks of the request add to the expected rest of the session; an
    order that ends a buying session answers for the rest it cuts off.

    Args:
        behavior: coefficients.
        intent: (R,) int.
        labels: (R, N, 6) bool.
        wanted: (R, N) bool, clicks that were meant.

    Returns:
        (R, N) float; a request's sum is the value it earned plus the change of
        what the rest of the session is expected to earn.
    """
    num_wanted = wanted.sum(axis=1)
    num_orders = labels[..., ORDER].sum(axis=1)
    nothing = np.zeros(len(intent), np.int64)
    alone = continuation(behavior, intent, nothing, nothing > 0)
    held = continuation(behavior, intent, num_wanted, nothing > 0)
    after = continuation(behavior, intent, num_wanted, num_orders > 0)
    rest = np.take(behavior.continuation_values, intent)
    a_click = rest * (held - alone) / np.maximum(num_wanted, 1)
    an_order = rest * (after - held) / np.maximum(num_orders, 1)
    return (
        labels @ _VALUES
        + wanted * a_click[:, np.newaxis]
        + labels[..., ORDER] * an_order[:, np.newaxis]
    )
