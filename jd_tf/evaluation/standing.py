"""Where the reference system stands among the others."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jd_tf.evaluation.objective_metrics import WITH_INTERVAL
from jd_tf.metrics.bootstrap import interval

FLOOR = "popularity"
CEILING = "oracle"


def standing(
    found: Mapping[str, Mapping[str, Any]],
    replicates: Mapping[str, Mapping[str, np.ndarray]],
    reference: str,
) -> dict[str, Any]:
    """Compares systems on one objective, resample by resample.

    Two systems are judged on the same users, so the interval of their
    difference is narrower than their own intervals suggest.

    Args:
        found: system -> metric -> value, nan where undefined.
        replicates: system -> metric -> [replicates]; all empty for none.
        reference: the system in question, a key of both.

    Returns:
        `lead`: system -> metric -> `difference` (reference minus system) and
        its `interval`; `popularity_to_oracle`: metric -> `share` of the way
        from popularity (0) to oracle (1) and its `interval`, nan unless the
        oracle is the better of the two.
    """
    names = [n for n in WITH_INTERVAL if n in found[reference]]

    def values(system: str, name: str) -> np.ndarray:
        """The metric itself, then its replicates."""
        own = np.array([found[system][name]], np.float64)
        return np.concatenate([own, replicates[system].get(name, own[:0])])

    def summary(numbers: np.ndarray, label: str) -> dict[str, Any]:
        drawn = interval(numbers[1:]) if len(numbers) > 1 else None
        return {label: float(numbers[0]), "interval": drawn}

    lead = {
        system: {
            name: summary(
                values(reference, name) - values(system, name), "difference"
            )
            for name in names
        }
        for system in found
        if system != reference
    }
    if not {FLOOR, CEILING} <= set(lead):
        return {"lead": lead}
    way = {}
    for name in names:
        floor, ceiling = values(FLOOR, name), values(CEILING, name)
        room = np.where(ceiling > floor, ceiling - floor, np.nan)
        share = (values(reference, name) - floor) / room
        way[name] = summary(share, "share")
    return {"lead": lead, "popularity_to_oracle": way}
