"""Batches and scorers -> the arrays `evaluate_predictions` judges."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jd_tf.evaluation.scenarios import evaluate_scenarios, values_by_request
from jd_tf.evaluation.system_metrics import evaluate_predictions
from jd_tf.schema import SERVING_ROLES, Schema

Batch = Mapping[str, Any]
Outputs = Mapping[str, Any]
Scorer = Callable[[dict[str, np.ndarray]], Outputs]
Mark = Callable[[dict[str, np.ndarray]], np.ndarray]

ORACLE = "oracle"


@dataclasses.dataclass(frozen=True)
class Predictions:
    """Predictions of several systems for the same requests.

    Axis letters: R requests, N candidates (padded), T objectives.

    Attributes:
        schema: of the requests.
        labels: [R, N, T] float32.
        label_weights: [R, N, T] float32; 0 in padding.
        num_candidates: [R] int.
        user_ids: [R], or None where the batches had none.
        systems: name -> `probabilities`, `objective_scores`, `score`.
        marks: name -> [R, N] bool, True for candidates of some kind.
        columns: name -> [R] or [R, N], columns kept as they are; that of
            the scenario among them, where there is one.
    """

    schema: Schema
    labels: np.ndarray
    label_weights: np.ndarray
    num_candidates: np.ndarray
    user_ids: np.ndarray | None
    systems: Mapping[str, Mapping[str, np.ndarray]]
    marks: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    columns: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def columns_by_request(self) -> dict[str, np.ndarray]:
        """Those of the kept columns that are [R]: segments of requests."""
        return {n: c for n, c in self.columns.items() if c.ndim == 1}

    def evaluate(self, **options: Any) -> dict[str, dict[str, Any]]:
        """Judges all systems; options as of `evaluate_predictions`."""
        return evaluate_predictions(
            self.labels,
            self.label_weights,
            self.num_candidates,
            self.systems,
            self.schema.objectives,
            user_ids=self.user_ids,
            values=self.values,
            **options,
        )

    def evaluate_scenarios(self, **options: Any) -> dict[str, dict[str, Any]]:
        """Judges all systems by scenario; see `evaluate_scenarios`."""
        return evaluate_scenarios(
            self.schema,
            self.scenarios,
            self.labels,
            self.label_weights,
            self.num_candidates,
            self.systems,
            self.user_ids,
            **options,
        )

    @property
    def scenarios(self) -> np.ndarray | None:
        """[R] ids of the schema's `scenario_column`, None without."""
        return self.columns.get(self.schema.scenario_column)

    @property
    def values(self) -> np.ndarray | None:
        """[R, T] business values, None where all requests' are the same."""
        if self.scenarios is None or not self.schema.scenario_values:
            return None
        return values_by_request(self.schema, self.scenarios)


def collect_predictions(
    batches: Iterable[Batch],
    schema: Schema,
    scorers: Mapping[str, Scorer],
    max_requests: int = 0,
    marks: Mapping[str, Mark] | None = None,
    columns: Sequence[str] = (),
) -> Predictions:
    """Runs every scorer over the same batches.

    Scorers are given the columns that exist when serving and no others, so
    none can read labels, positions or the simulator's truth. Where batches
    hold the truth, it becomes the system `oracle`.

    Args:
        batches: dicts as `read_batches` yields them, with keys where metrics
            per user are wanted.
        schema: of the batches.
        scorers: system -> function from a batch of NumPy arrays to a dict of
            `probabilities` [B, N, T] or `score` [B, N] or both.
        max_requests: stop after that many; 0 for all.
        marks: name -> function from such a batch to [B, N] bool.
        columns: names of columns to keep, of a request or its candidates;
            the scenario's is always kept.
    """
    width = schema.max_candidates
    known = [column.name for column in schema.columns(*SERVING_ROLES)]
    parts: dict[str, list[np.ndarray]] = {}
    systems: dict[str, dict[str, list[np.ndarray]]] = {}
    marked: dict[str, list[np.ndarray]] = {name: [] for name in marks or {}}
    scenario = [schema.scenario_column] * bool(schema.scenario_column)
    wanted: dict[str, list[np.ndarray]] = {n: [] for n in (*columns, *scenario)}
    count = 0
    for raw in batches:
        batch = to_numpy(raw)
        served = {name: batch[name] for name in known}
        for name in ("labels", "label_weights", "num_candidates", "user_id"):
            if name in batch:
                part = _widen(batch[name], width, name.startswith("label"))
                parts.setdefault(name, []).append(part)
        for name, kept in wanted.items():
            column = batch[name]
            kept.append(_widen(column, width, column.ndim > 1))
        scored = {n: score(dict(served)) for n, score in scorers.items()}
        if "oracle_relevance" in batch:
            scored[ORACLE] = {"objective_scores": batch["oracle_relevance"]}
        for name, outputs in scored.items():
            outs = systems.setdefault(name, {})
            for key, value in outputs.items():
                if value is not None:
                    value = _widen(np.asarray(value), width)
                    outs.setdefault(key, []).append(value)
        for name, mark in (marks or {}).items():
            marked[name].append(_widen(mark(dict(served)), width))
        count += len(batch["num_candidates"])
        if max_requests and count >= max_requests:
            break
    if not count:
        raise ValueError("there are no batches to score.")

    def join(arrays: list[np.ndarray]) -> np.ndarray:
        whole = np.concatenate(arrays)
        return whole[:max_requests] if max_requests else whole

    return Predictions(
        schema,
        join(parts["labels"]),
        join(parts["label_weights"]),
        join(parts["num_candidates"]),
        join(parts["user_id"]) if "user_id" in parts else None,
        {
            name: {key: join(arrays) for key, arrays in outputs.items()}
            for name, outputs in systems.items()
        },
        {name: join(kept) for name, kept in marked.items()},
        {name: join(kept) for name, kept in wanted.items()},
    )


def to_numpy(batch: Batch) -> dict[str, np.ndarray]:
    """NumPy arrays of a batch of tensors or arrays."""
    return {name: np.asarray(value) for name, value in batch.items()}


def _widen(array: np.ndarray, width: int, padded: bool = True) -> np.ndarray:
    """Pads axis 1 (candidates) with zeros up to `width`."""
    if not padded or array.shape[1] == width:
        return array
    missing = width - array.shape[1]
    padding = [(0, 0), (0, missing)] + [(0, 0)] * (array.ndim - 2)
    return np.pad(array, padding)
