"""Learned weights by segment, with intervals over users."""

from typing import Any

import numpy as np

from jd_tf.evaluation.fusion.observation import FusionObservation
from jd_tf.evaluation.fusion.session_state import ENGAGED, natural_place
from jd_tf.metrics.bootstrap import Bootstrap, interval

# Of two segments, these come second: they are compared with the other.
_SECOND = (ENGAGED,)


def weights_by_segment(
    observation: FusionObservation, bootstrap: Bootstrap
) -> dict[str, dict[str, Any]]:
    """Mean shares of the weights in every segment.

    Args:
        observation: of R requests.
        bootstrap: of the same requests, by user.

    Returns:
        Segmentation -> segment -> `num_requests`, `num_users`, and
        `shares`: objective -> `mean` and `interval`; in their own order, as
        of hours, or that in which the shares of the last objective grow.
    """
    shares = observation.shares
    names = observation.schema.objective_names
    found: dict[str, dict[str, Any]] = {}
    for segmentation, ids in observation.predictions.segments.items():
        parts: dict[str, dict[str, Any]] = {}
        for segment in np.unique(ids):
            inside = ids == segment
            weights = inside.astype(np.float64)
            parts[str(segment)] = {
                "num_requests": int(inside.sum()),
                "num_users": len(np.unique(observation.users[inside])),
                "shares": {
                    name: {
                        "mean": float(shares[inside, t].mean()),
                        "interval": interval(
                            bootstrap.means(shares[:, t], weights)
                        ),
                    }
                    for t, name in enumerate(names)
                },
            }
        found[segmentation] = dict(
            sorted(
                parts.items(),
                key=lambda part: (
                    natural_place(part[0]),
                    part[1]["shares"][names[-1]]["mean"],
                ),
            )
        )
    return found


def contrasts(
    observation: FusionObservation, bootstrap: Bootstrap
) -> dict[str, dict[str, Any]]:
    """Differences of weights where there are two segments, as two intents.

    Args:
        observation: of R requests.
        bootstrap: of the same requests, by user.

    Returns:
        Segmentation of two segments -> `segments`, their names, and
        `objectives`: objective -> `difference` of the mean shares, second
        minus first, its `interval`, `standard_error`, and `standard_errors`,
        the difference in units of that.
    """
    shares = observation.shares
    found = {}
    for segmentation, ids in observation.predictions.segments.items():
        names = sorted(np.unique(ids).tolist(), key=_SECOND.__contains__)
        if len(names) != 2:
            continue
        inside = [(ids == name).astype(np.float64) for name in names]
        entry = {}
        for t, objective in enumerate(observation.schema.objective_names):
            first, second = (
                np.average(shares[:, t], weights=part) for part in inside
            )
            drawn = [bootstrap.means(shares[:, t], part) for part in inside]
            apart = drawn[1] - drawn[0]
            error = float(np.nanstd(apart, ddof=1))
            entry[objective] = {
                "difference": float(second - first),
                "interval": interval(apart),
                "standard_error": error,
                "standard_errors": float((second - first) / error)
                if error
                else None,
            }
        found[segmentation] = {"segments": names, "objectives": entry}
    return found
