"""Predictions of several systems -> what metrics.json holds for one split.

Axis letters: R requests, N candidates (padded), T objectives.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jd_tf.evaluation.metrics_file import RANKER, nan_to_none
from jd_tf.evaluation.objective_metrics import (
    WITH_INTERVAL,
    Metrics,
    Replicates,
    amount_metrics,
    order_metrics,
    probability_metrics,
    value_metrics,
)
from jd_tf.metrics.bootstrap import Bootstrap, interval
from jd_tf.metrics.business_value import expectations, expected_value
from jd_tf.metrics.cells import Cells, real_cells
from jd_tf.schema import Objective

VALUE = "value"
# Systems between which the gap is measured.
FLOOR, CEILING = "popularity", "oracle"
OUTPUTS = ("probabilities", "amounts", "objective_scores", "score")


def evaluate_predictions(
    labels: np.ndarray,
    label_weights: np.ndarray,
    num_candidates: np.ndarray,
    systems: Mapping[str, Mapping[str, np.ndarray | None]],
    objectives: Sequence[Objective],
    user_ids: np.ndarray | None = None,
    num_replicates: int = 200,
    seed: int = 0,
    reference: str = RANKER,
    values: np.ndarray | None = None,
) -> dict[str, dict[str, Any]]:
    """Judges every system on every objective, and on business value.

    Intervals (95 %) come from resampling users (requests where users are not
    known), the same resamples for every system.

    Args:
        labels: [R, N, T] of 0 and 1, or amounts; padding may hold anything.
        label_weights: [R, N, T] >= 0; 0 takes a cell out of the objective.
        num_candidates: [R] int.
        systems: name -> arrays, any of which may be None or missing:
            `probabilities` [R, N, T - A], of outcomes and calibrated;
            `amounts` [R, N, A] expected; `objective_scores` [R, N, T], per
            objective but neither; `score` [R, N], the final order, which
            serves all other objectives; without it the expected value.
        objectives: T of them, the last A amounts.
        user_ids: [R], any kind that sorts; None where users are unknown.
        num_replicates: bootstrap resamples; 0 for no intervals.
        seed: of the resamples.
        reference: the system that is compared with the others.
        values: [R, T] business values of each request, where they depend on
            it; those of the objectives if None.

    Returns:
        system -> objective (and "value") -> metric -> number, or None where
        undefined; see `objective_metrics` for the names. The reference has
        `lead` too: system -> metric -> `difference` (reference minus system)
        and its `interval`; and, where there are `popularity` and `oracle`,
        `popularity_to_oracle`: metric -> `share` of the gap between popularity
        (0) and oracle (1) that the reference closes, and its `interval`, None
        unless the oracle is the better of the two.

    Raises:
        ValueError: naming the system whose predictions are missing, unknown,
            of the wrong shape or not finite.

    Example:
        >>> import numpy as np
        >>> labels = np.array([[[1.0], [0.0]], [[0.0], [1.0]]])
        >>> systems = {"jd_ranker": {"score": np.array([[2.0, 1], [3, 1]])}}
        >>> found = evaluate_predictions(
        ...     labels, np.ones_like(labels), np.array([2, 2]), systems,
        ...     (Objective("click"),), num_replicates=0)
        >>> found["jd_ranker"]["click"]["gauc"]
        0.5
    """
    labels, label_weights = np.asarray(labels), np.asarray(label_weights)
    if labels.ndim != 3 or labels.shape[2] != len(objectives):
        raise ValueError(
            f"`labels` must be (R, N, {len(objectives)}). Got: {labels.shape}."
        )
    if any(objective.name == VALUE for objective in objectives):
        raise ValueError(f"no objective may be called `{VALUE}`.")
    users = None
    if user_ids is not None:
        users = np.unique(user_ids, return_inverse=True)[1].reshape(-1)
    bootstrap = None
    if num_replicates and len(labels):
        bootstrap = Bootstrap(len(labels), users, num_replicates, seed)
    real = real_cells(num_candidates, labels.shape[1])
    cells = [
        Cells.of(labels[..., t], num_candidates, label_weights[..., t])
        for t in range(len(objectives))
    ]
    counts = real[..., None] & (label_weights > 0)
    weights = np.array([[objective.value for objective in objectives]])
    if values is not None:
        weights = np.asarray(values)
    gains = (np.where(counts, labels, 0.0) * weights[:, None]).sum(axis=-1)
    valued = Cells.of(gains, num_candidates)
    num_outcomes = sum(not objective.is_amount for objective in objectives)

    judged: dict[str, dict[str, tuple[Metrics, Replicates]]] = {}
    for system, outputs in systems.items():
        scores, score = _complete(system, outputs, objectives, real, values)
        judged[system] = {}
        for t, objective in enumerate(objectives):
            # A good order has bad outcomes last.
            order = -score if objective.value < 0 else score
            if scores is not None and t < scores.shape[-1]:
                order = scores[..., t]
            if objective.is_amount:
                amounts = outputs.get("amounts")
                found, drawn = amount_metrics(
                    cells[t],
                    order,
                    None if amounts is None else amounts[..., t - num_outcomes],
                    bootstrap,
                )
            else:
                chances = outputs.get("probabilities")
                chances = None if chances is None else chances[..., t]
                found, drawn = order_metrics(cells[t], order, users, bootstrap)
                found |= probability_metrics(cells[t], chances)
            judged[system][objective.name] = (found, drawn)
        judged[system][VALUE] = value_metrics(valued, score, bootstrap)
        for found, drawn in judged[system].values():
            for name in [name for name in WITH_INTERVAL if name in found]:
                found[f"{name}_interval"] = (
                    interval(drawn[name]) if name in drawn else None
                )
    for key, (found, _) in judged.get(reference, {}).items():
        of_key = {system: parts[key] for system, parts in judged.items()}
        found |= _compare_systems(of_key, reference)
    return nan_to_none(
        {
            system: {key: found for key, (found, _) in parts.items()}
            for system, parts in judged.items()
        }
    )


def _compare_systems(
    judged: Mapping[str, tuple[Metrics, Replicates]], reference: str
) -> dict[str, Any]:
    """Compares the reference with the others, resample by resample.

    Two systems are judged on the same users, so the interval of their
    difference is narrower than their own intervals suggest.
    """
    names = [n for n in WITH_INTERVAL if n in judged[reference][0]]

    def values(system: str, name: str) -> np.ndarray:
        """The metric itself, then its replicates."""
        found, drawn = judged[system]
        own = np.array([found[name]], np.float64)
        return np.concatenate([own, drawn.get(name, own[:0])])

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
        for system in judged
        if system != reference
    }
    if not {FLOOR, CEILING} <= set(lead):
        return {"lead": lead}
    closed = {}
    for name in names:
        floor, ceiling = values(FLOOR, name), values(CEILING, name)
        gap = np.where(ceiling > floor, ceiling - floor, np.nan)
        share = (values(reference, name) - floor) / gap
        closed[name] = summary(share, "share")
    return {"lead": lead, "popularity_to_oracle": closed}


def _complete(
    system: str,
    outputs: Mapping[str, np.ndarray | None],
    objectives: Sequence[Objective],
    real: np.ndarray,
    values: np.ndarray | None,
) -> tuple[np.ndarray | None, np.ndarray]:
    """Scores of the first objectives, or all, and final score, all checked."""
    unknown = sorted(set(outputs) - set(OUTPUTS))
    if unknown:
        raise ValueError(
            f"system `{system}`: outputs must be among {OUTPUTS}. "
            f"Got: {unknown}."
        )
    num_amounts = sum(objective.is_amount for objective in objectives)
    widths = {
        "probabilities": len(objectives) - num_amounts,
        "amounts": num_amounts,
        "objective_scores": len(objectives),
    }
    for name, output in outputs.items():
        if output is None:
            continue
        expected = (*real.shape, widths[name]) if name in widths else real.shape
        if output.shape != expected:
            raise ValueError(
                f"system `{system}`: `{name}` must be {expected}. "
                f"Got: {output.shape}."
            )
        wrong = np.count_nonzero(~np.isfinite(output[real]))
        if wrong:
            raise ValueError(
                f"system `{system}`: {wrong} values of `{name}` are not finite."
            )
    scores, score = outputs.get("objective_scores"), outputs.get("score")
    if scores is None and outputs.get("probabilities") is not None:
        scores = expectations(outputs)
    if score is None:
        if scores is None:
            raise ValueError(
                f"system `{system}` must give one of {OUTPUTS}. Got none."
            )
        score = expected_value(scores, objectives, values)
    return scores, score
