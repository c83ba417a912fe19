"""Times at which simulated users visit the shop."""

import numpy as np

from jd_tf.data.simulator.config import DAY, SimulatorConfig

# Visits by hour of the day: few at night, most in the evening.
_HOURS = np.array(
    [3, 2, 1, 1, 1, 1, 2, 4, 5, 5, 6, 6, 7, 6, 5, 5, 5, 6, 7, 8, 9, 9, 7, 5.0]
)
# Share of users that join after the simulation has begun.
_NEWCOMERS = 0.15
# Mean requests of a session, measured; only used to plan how many sessions
# are needed for a given number of requests.
MEAN_SESSION_REQUESTS = 3.2


def plan_sessions(
    config: SimulatorConfig, activity: np.ndarray, rng: np.random.Generator
) -> list[np.ndarray]:
    """Draws the times at which sessions start.

    Args:
        config: calendar and expected number of requests.
        activity: (users,) float, relative frequency of visits.
        rng: source of randomness.

    Returns:
        One sorted float array of seconds a user, warm-up included.
    """
    whole = config.num_warm_up_days + config.num_days
    joined = rng.uniform(0.0, whole, len(activity))
    joined[rng.random(len(activity)) >= _NEWCOMERS] = 0.0
    # A newcomer misses half of the logged days that lie before joining.
    present = 1.0 - _NEWCOMERS * (0.5 * config.num_days / whole)
    a_day = config.num_requests / (
        config.num_users * config.num_days * present * MEAN_SESSION_REQUESTS
    )
    share = _HOURS / _HOURS.sum()
    plans = []
    for frequency, first in zip(activity, joined, strict=True):
        count = rng.poisson(frequency * a_day * (whole - first))
        day = np.floor(rng.uniform(first, whole, count))
        hour = rng.choice(24, count, p=share) + rng.random(count)
        time = config.warm_up_time + day * DAY + hour * 3600.0
        plans.append(np.sort(time))
    return plans
