"""Counters of items as the shop knows them at a given time."""

from collections.abc import Iterable

import numpy as np

from jd_tf.data.simulator.config import SimulatorConfig

# A new item is taken to be as good as so many average exposures.
_PRIOR_EXPOSURES = 20.0
_PRIOR_CLICK_RATE = 0.1

Tally = tuple[np.ndarray, np.ndarray, np.ndarray]


class ItemCounters:
    """Exposures and clicks of every item, updated now and then.

    A counter read at a time holds what was over at the last update before it,
    as in a shop whose counters come from a batch job: the present request is
    never in it.

    Args:
        config: calendar and hours between updates.
        totals: (2, periods + 1, items) int32, exposures and clicks before
            each period.
    """

    def __init__(self, config: SimulatorConfig, totals: np.ndarray):
        self.config, self.totals = config, totals

    @classmethod
    def of(
        cls, config: SimulatorConfig, tallies: Iterable[Tally]
    ) -> "ItemCounters":
        """Builds counters from the tallies of all blocks."""
        totals = np.zeros(
            (2, _num_periods(config) + 1, config.num_items), np.int32
        )
        # Events of one period are known from the next one on.
        shown, clicked = (part[1:].reshape(-1) for part in totals)
        for cells, num_shown, num_clicked in tallies:
            shown[cells] += num_shown
            clicked[cells] += num_clicked
        np.cumsum(totals, axis=1, out=totals)
        return cls(config, totals)

    def read(
        self, items: np.ndarray, time: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Reads exposures and smoothed click rates of items.

        Args:
            items: (R, N) int, item numbers.
            time: (R,) float, seconds since 1970.

        Returns:
            (R, N) exposures and (R, N) clicks an exposure, float64.
        """
        row = _period(self.config, time)[:, np.newaxis]
        shown, clicked = self.totals[:, row, items].astype(np.float64)
        expected = _PRIOR_EXPOSURES * _PRIOR_CLICK_RATE
        return shown, (clicked + expected) / (shown + _PRIOR_EXPOSURES)


def tally(config: SimulatorConfig, exposures: dict[str, np.ndarray]) -> Tally:
    """Counts a block's `BlockLog.exposures` by period and item.

    Returns:
        (cells,) int64, period times items plus item, without repetition;
        (cells,) int64 exposures; (cells,) int64 clicks.
    """
    if not exposures:
        return (np.empty(0, np.int64),) * 3
    period = _period(config, exposures["time"])
    # Sessions that outlast the log end in the last period.
    period = np.minimum(period, _num_periods(config) - 1)
    cells, place = np.unique(
        period * config.num_items + exposures["item"], return_inverse=True
    )
    clicked = np.bincount(place[exposures["clicked"]], minlength=len(cells))
    return cells, np.bincount(place, minlength=len(cells)), clicked


def _num_periods(config: SimulatorConfig) -> int:
    """Periods between updates in the whole simulated time."""
    hours = 24 * (config.num_warm_up_days + config.num_days)
    return -(-hours // config.counter_hours)


def _period(config: SimulatorConfig, time: np.ndarray) -> np.ndarray:
    since = np.maximum(time - config.warm_up_time, 0.0)
    return (since // (3600.0 * config.counter_hours)).astype(np.int64)
