"""Business value: of a scenario, and to be expected of a candidate."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jd_tf.schema import Objective, Schema


def scenario_names(ids: np.ndarray) -> np.ndarray:
    """[R] ids of any dtype as texts."""
    return np.array(
        [i.decode("utf-8") if isinstance(i, bytes) else str(i) for i in ids],
        np.str_,
    )


def values_by_request(schema: Schema, ids: np.ndarray) -> np.ndarray:
    """[R, T] business values by scenario; `ids` [R] of `scenario_column`."""
    names = scenario_names(ids)
    values = np.tile(np.array(schema.objective_values), (len(names), 1))
    for entry in schema.scenario_values:
        values[names == str(entry.scenario)] = entry.values
    return values


def expectations(outputs: Mapping[str, Any]) -> np.ndarray:
    """[..., T] `probabilities`, then `amounts` where a ranker gives them."""
    parts = [outputs.get(name) for name in ("probabilities", "amounts")]
    return np.concatenate([p for p in parts if p is not None], axis=-1)


def expected_value(
    probabilities: np.ndarray,
    objectives: Sequence[Objective],
    values: np.ndarray | None = None,
) -> np.ndarray:
    """Sum over objectives of business value times probability, or amount.

    One that holds only where an earlier objective happened (its
    `sample_space`) is multiplied by the probability of that.

    Args:
        probabilities: [..., T], of amounts what is expected; of the first
            objectives alone, where a system predicts no more.
        objectives: T of them.
        values: [R, T] business values of each request, where they differ;
            `probabilities` are [R, ..., T] then.

    Returns:
        [...] float32.

    Example:
        >>> import numpy as np
        >>> objectives = (Objective("click", 1.0), Objective("order", 30.0))
        >>> expected_value(np.array([0.5, 0.25]), objectives).item()
        8.0
    """
    entire: dict[str, np.ndarray] = {}
    total = np.zeros(probabilities.shape[:-1])
    for t, objective in enumerate(objectives[: probabilities.shape[-1]]):
        here = probabilities[..., t].astype(np.float64)
        if objective.sample_space in entire:
            here = here * entire[objective.sample_space]
        entire[objective.name] = here
        value: Any = objective.value
        if values is not None:
            value = values[:, t].reshape(-1, *(1,) * (here.ndim - 1))
        total += value * here
    return total.astype(np.float32)
