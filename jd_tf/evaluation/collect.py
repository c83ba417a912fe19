"""Batches and scorers -> the arrays `evaluate_predictions` judges."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jd_tf.evaluation.system_metrics import evaluate_predictions
from jd_tf.metrics.business_value import scenario_names, values_by_request
from jd_tf.schema import SERVING_ROLES, Schema

Batch = Mapping[str, Any]
Outputs = Mapping[str, Any]
Scorer = Callable[[dict[str, np.ndarray]], Outputs]
Mark = Callable[[dict[str, np.ndarray]], np.ndarray]

ORACLE = "oracle"
_KEYS = ("request_id", "user_id")
# With fewer requests the intervals matter more than the numbers.
_FEW_REQUESTS = 100
# Metrics of all requests alone, not of a scenario.
_OF_ALL = ("reliability", "lead", "popularity_to_oracle")


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
        systems: name -> `probabilities`, `amounts`, `objective_scores`,
            `score`.
        marks: name -> [R, N] bool, True for candidates of some kind.
        columns: name -> [R] or [R, N], columns kept as they are; that of
            the scenario among them, where there is one.
        request_ids: [R], or None where the batches had none.
        item_ids: [R, N], or None.

    Example:
        >>> import numpy as np
        >>> from jd_tf.schema import Behavior, IdColumn, Objective
        >>> schema = Schema("shop", (IdColumn("item_id", num_buckets=9),),
        ...     (Behavior("click", 3),), (Objective("click"),), 2)
        >>> labels = np.array([[[1.0], [0.0]], [[0.0], [1.0]]])
        >>> predictions = Predictions(
        ...     schema, labels, np.ones_like(labels), np.array([2, 2]), None,
        ...     {"jd_ranker": {"score": np.array([[2.0, 1.0], [3.0, 1.0]])}})
        >>> predictions.evaluate()["jd_ranker"]["click"]["gauc"]
        0.5
    """

    schema: Schema
    labels: np.ndarray
    label_weights: np.ndarray
    num_candidates: np.ndarray
    user_ids: np.ndarray | None
    systems: Mapping[str, Mapping[str, np.ndarray]]
    marks: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    columns: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    request_ids: np.ndarray | None = None
    item_ids: np.ndarray | None = None

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

    def evaluate_scenarios(
        self, num_replicates: int = 200, **options: Any
    ) -> dict[str, dict[str, Any]]:
        """Judges all systems on the requests of each scenario.

        A model of all pages may be good on the largest and bad on another.
        Returns scenario -> `num_requests`, `values` by objective, `note` (a
        sentence, or None), and `systems` as of `evaluate`, None without
        requests; in the order of the vocabulary, then as they sort.
        """
        if self.scenarios is None:
            return {}
        names = scenario_names(self.scenarios)
        known = {str(scenario): scenario for scenario in self.schema.scenarios}
        found = {}
        for scenario in dict.fromkeys([*known, *np.unique(names).tolist()]):
            rows = np.flatnonzero(names == scenario)
            note, systems = None, None
            if not len(rows):
                note = "no requests of this scenario: nothing is known of it"
            elif len(rows) < _FEW_REQUESTS:
                note = (
                    f"{len(rows)} requests only: read the intervals, not the "
                    "numbers"
                )
            if len(rows):
                systems = self._select(rows).evaluate(
                    num_replicates=num_replicates if len(rows) > 1 else 0,
                    **options,
                )
                for objectives in systems.values():
                    for metrics in objectives.values():
                        for name in _OF_ALL:
                            metrics.pop(name, None)
            values = self.schema.values_in(known.get(scenario, scenario))
            found[scenario] = {
                "num_requests": len(rows),
                "values": dict(
                    zip(self.schema.objective_names, values, strict=True)
                ),
                "note": note,
                "systems": systems,
            }
        return found

    def _select(self, rows: np.ndarray) -> "Predictions":
        """Some of the requests."""

        def some(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {name: array[rows] for name, array in arrays.items()}

        return Predictions(
            self.schema,
            self.labels[rows],
            self.label_weights[rows],
            self.num_candidates[rows],
            None if self.user_ids is None else self.user_ids[rows],
            {system: some(found) for system, found in self.systems.items()},
            some(self.marks),
            some(self.columns),
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

    Scorers are given the columns that exist when serving, the keys of request
    and user where batches have them, and no others, so none can read labels,
    positions or the simulator's truth. Where batches
    hold the truth, it becomes the system `oracle`.

    Args:
        batches: dicts as `read_batches` yields them, with keys where metrics
            per user are wanted.
        schema: of the batches.
        scorers: system -> function from a batch of NumPy arrays to a dict of
            outputs, as of `evaluate_predictions`.
        max_requests: stop after that many; 0 for all.
        marks: name -> function from such a batch to [B, N] bool.
        columns: names of columns to keep, of a request or its candidates;
            the scenario's is always kept.
    """
    width = schema.max_candidates
    known = [column.name for column in schema.columns(*SERVING_ROLES)]
    scenario = [schema.scenario_column] * bool(schema.scenario_column)
    parts: dict[tuple[str, ...], list[np.ndarray]] = {}

    def keep(array: Any, *key: str) -> None:
        array = np.asarray(array)
        if array.ndim > 1 and array.shape[1] != width:
            missing = [(0, 0), (0, width - array.shape[1])]
            array = np.pad(array, missing + [(0, 0)] * (array.ndim - 2))
        parts.setdefault(key, []).append(array)

    count = 0
    for raw in batches:
        batch = to_numpy(raw)
        keys = [name for name in _KEYS if name in batch]
        served = {name: batch[name] for name in (*known, *keys)}
        for name in ("labels", "label_weights", "num_candidates"):
            keep(batch[name], name)
        for name in keys:
            keep(batch[name], f"{name}s")
        keep(batch["item_id"], "item_ids")
        for name in dict.fromkeys((*columns, *scenario)):
            keep(batch[name], "columns", name)
        scored = {n: score(dict(served)) for n, score in scorers.items()}
        if "oracle_relevance" in batch:
            scored[ORACLE] = {"objective_scores": batch["oracle_relevance"]}
        for system, outputs in scored.items():
            for name, output in outputs.items():
                if output is not None:
                    keep(output, "systems", system, name)
        for name, mark in (marks or {}).items():
            keep(mark(dict(served)), "marks", name)
        count += len(batch["num_candidates"])
        if max_requests and count >= max_requests:
            break
    if not count:
        raise ValueError("there are no batches to score.")
    found: dict[str, Any] = {"user_ids": None, "systems": {}}
    for key, arrays in parts.items():
        into = found
        for name in key[:-1]:
            into = into.setdefault(name, {})
        whole = np.concatenate(arrays)
        into[key[-1]] = whole[:max_requests] if max_requests else whole
    return Predictions(schema, **found)


def to_numpy(batch: Batch) -> dict[str, np.ndarray]:
    """NumPy arrays of a batch of tensors or arrays."""
    return {name: np.asarray(value) for name, value in batch.items()}
