"""The same metrics for each scenario: feed, cart, product detail, ...

A model of all pages may be good on the largest and bad on another; the mean
does not show it. A scenario without requests has None for its metrics, one
with few a note.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jd_tf.evaluation.metrics_file import RANKER
from jd_tf.evaluation.system_metrics import evaluate_predictions
from jd_tf.schema import Schema

# With fewer requests the intervals matter more than the numbers.
FEW_REQUESTS = 100
# Metrics of all requests alone.
_LEFT_OUT = ("reliability", "lead", "popularity_to_oracle")


def scenario_names(ids: np.ndarray) -> np.ndarray:
    """[R] ids of any dtype as texts."""
    return np.array(
        [i.decode("utf-8") if isinstance(i, bytes) else str(i) for i in ids],
        np.str_,
    )


def values_by_request(schema: Schema, ids: np.ndarray) -> np.ndarray:
    """[R, T] business values in the scenario of each request.

    Args:
        schema: with values of scenarios, or with none.
        ids: [R] of `scenario_column`: bytes, texts or whole numbers.
    """
    names = scenario_names(ids)
    values = np.tile(np.array(schema.objective_values), (len(names), 1))
    for entry in schema.scenario_values:
        values[names == str(entry.scenario)] = entry.values
    return values


def evaluate_scenarios(
    schema: Schema,
    ids: np.ndarray | None,
    labels: np.ndarray,
    label_weights: np.ndarray,
    num_candidates: np.ndarray,
    systems: Mapping[str, Mapping[str, np.ndarray | None]],
    user_ids: np.ndarray | None = None,
    num_replicates: int = 200,
    seed: int = 0,
    reference: str = RANKER,
) -> dict[str, dict[str, Any]]:
    """Judges every system on the requests of each scenario.

    Args:
        schema: names the scenarios there should be.
        ids: [R] of `scenario_column`; None where there is no such column.
        labels: [R, N, T]; see `evaluate_predictions` for this and the rest.
        label_weights: [R, N, T].
        num_candidates: [R] int.
        systems: name -> arrays.
        user_ids: [R], or None.
        num_replicates: bootstrap resamples; 0 for no intervals.
        seed: of the resamples.
        reference: as of `evaluate_predictions`.

    Returns:
        scenario -> `num_requests`, `values` by objective, `note` (a sentence,
        or None), and `systems`: system -> objective (and "value") -> metric
        -> number or None; None where there are no requests. In the order of
        the vocabulary, then as they sort. {} without scenarios.
    """
    if ids is None:
        return {}
    names = scenario_names(ids)
    known = [str(scenario) for scenario in schema.scenarios]
    met = np.unique(names).tolist()
    values = values_by_request(schema, ids)
    found = {}
    for scenario in [*known, *(name for name in met if name not in known)]:
        rows = np.flatnonzero(names == scenario)
        entry: dict[str, Any] = {
            "num_requests": len(rows),
            "values": dict(
                zip(
                    schema.objective_names,
                    _values_of(schema, scenario),
                    strict=True,
                )
            ),
            "note": _note(len(rows)),
            "systems": None,
        }
        if len(rows):
            judged = evaluate_predictions(
                labels[rows],
                label_weights[rows],
                num_candidates[rows],
                {
                    system: {
                        name: None if output is None else output[rows]
                        for name, output in outputs.items()
                    }
                    for system, outputs in systems.items()
                },
                schema.objectives,
                None if user_ids is None else user_ids[rows],
                num_replicates if len(rows) > 1 else 0,
                seed,
                reference,
                values[rows],
            )
            entry["systems"] = {
                system: {
                    objective: _without(metrics, _LEFT_OUT)
                    for objective, metrics in by_objective.items()
                }
                for system, by_objective in judged.items()
            }
        found[scenario] = entry
    return found


def _values_of(schema: Schema, scenario: str) -> tuple[float, ...]:
    for entry in schema.scenario_values:
        if str(entry.scenario) == scenario:
            return entry.values
    return schema.objective_values


def _note(num_requests: int) -> str | None:
    if not num_requests:
        return "no requests of this scenario: nothing is known of it"
    if num_requests < FEW_REQUESTS:
        return (
            f"{num_requests} requests only: read the intervals, not the numbers"
        )
    return None


def _without(
    metrics: Mapping[str, Any], names: Sequence[str]
) -> dict[str, Any]:
    return {n: value for n, value in metrics.items() if n not in names}
