"""Orders and fusion weights of a ranker, with the state of each session."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from jd_tf.evaluation.baselines.features import event_ages
from jd_tf.evaluation.collect import (
    Predictions,
    Scorer,
    collect_predictions,
    to_numpy,
)
from jd_tf.evaluation.fusion.predictions import FusionPredictions
from jd_tf.evaluation.post_training import WEIGHTS, PostTraining
from jd_tf.metrics.business_value import expected_value, scenario_names
from jd_tf.schema import DataError, Schema

LEARNED = "learned"
LOOKING, ENGAGED = "looking_around", "engaged"
# Names of the values of the simulator's hidden facts.
_HIDDEN = {"intent": ("browsing", "buying")}
_DEPTHS = ("none", "1 or 2", "3 to 5", "6 or more")
_DEPTH_EDGES = (1, 3, 6)
_HOURS = ("0 to 5 h", "6 to 11 h", "12 to 17 h", "18 to 23 h")
# Segments that are in an order of their own.
NATURAL_PLACES = {name: i for i, name in enumerate((*_DEPTHS, *_HOURS))}

Batch = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class FusionObservation:
    """R requests of one split; `LEARNED` is the score of the ranker's order."""

    schema: Schema
    predictions: FusionPredictions
    weights: np.ndarray  # [R, T] of the learned fusion
    expected: np.ndarray  # [R, N] business value: the plain rule
    users: np.ndarray  # [R] int from 0

    @property
    def shares(self) -> np.ndarray:
        """[R, T] weights as shares of their sum."""
        return self.weights / self.weights.sum(axis=1, keepdims=True)


def observe(
    batches: Iterable[Batch],
    schema: Schema,
    scorer: Scorer,
    session_seconds: float,
    reward: bool = False,
    max_requests: int = 0,
) -> FusionObservation:
    """Ranks requests, and keeps the weights and the state of sessions.

    `scorer` is one of `model_scorer`; `batches` have keys, and the simulator's
    truth and the reward if wanted.
    """
    segments: dict[str, list[np.ndarray]] = {}

    def watched() -> Iterator[dict[str, np.ndarray]]:
        for raw in batches:
            batch = to_numpy(raw)
            parts = session_segments(batch, schema, session_seconds)
            for name, part in parts.items():
                segments.setdefault(name, []).append(part)
            yield batch

    columns = ["reward"] if reward else []
    found = PostTraining.of(
        collect_predictions(
            watched(), schema, {LEARNED: scorer}, max_requests, columns=columns
        ),
        LEARNED,
    )
    if found.weights is None:
        raise DataError(
            f"the ranker gives no `{WEIGHTS}`: it fuses nothing. Train one "
            "with --fusion=personalized or --fusion=global."
        )
    seen = found.predictions
    count = len(seen.num_candidates)
    predictions = FusionPredictions.of_run(seen, LEARNED)
    gains = predictions.gains
    if seen.values is not None and gains is None:
        labels = predictions.labels.astype(np.float64)
        gains = np.einsum("rnt,rt->rn", labels, seen.values).astype(np.float32)
    parts = {n: np.concatenate(p)[:count] for n, p in segments.items()}
    users = np.arange(count) if seen.user_ids is None else seen.user_ids
    return FusionObservation(
        schema,
        dataclasses.replace(predictions, gains=gains, segments=parts),
        found.weights.astype(np.float64),
        expected_value(
            predictions.probabilities, schema.objectives, seen.values
        ),
        np.unique(users, return_inverse=True)[1].reshape(-1),
    )


def session_counts(
    batch: Batch, schema: Schema, session_seconds: float
) -> tuple[np.ndarray, np.ndarray]:
    """Events [B, K] and actions [B] (counters but the first, the visit)."""
    size = len(batch["num_candidates"])
    events, actions = [], np.zeros(size)
    for behavior in schema.behaviors:
        name = behavior.name
        age = event_ages(batch, behavior)
        recent = np.arange(age.shape[1]) < batch[behavior.length][:, None]
        recent = recent & (age <= session_seconds)
        events.append(recent.sum(axis=1, dtype=np.float64))
        if behavior.action_counters:
            counts = batch[f"{name}_action_counts"][..., 1:].sum(axis=-1)
            actions += np.where(recent, counts, 0.0).sum(axis=1)
    return np.stack(events, axis=1), actions


def session_segments(
    batch: Batch, schema: Schema, session_seconds: float
) -> dict[str, np.ndarray]:
    """Returns segmentation -> [B] texts, by the state of the session."""
    events, actions = session_counts(batch, schema, session_seconds)
    names = np.array(["nothing", *(b.name for b in schema.behaviors)])
    reached = (events > 0) * np.arange(1, events.shape[1] + 1)
    depth = np.digitize(events.sum(axis=1), _DEPTH_EDGES)
    engaged = (events[:, 1:].sum(axis=1) > 0) | (actions > 0)
    found = {
        "done_so_far": names[reached.max(axis=1)],
        "events_so_far": np.array(_DEPTHS)[depth],
        "proxy_intent": np.where(engaged, ENGAGED, LOOKING),
    }
    contexts = {column.name: column for column in schema.context_columns}
    if schema.scenario_column:
        found["scenario"] = scenario_names(batch[schema.scenario_column])
    if "hour" in contexts and contexts["hour"].dtype == "int64":
        # 1 to 24, as 0 pads.
        quarter = np.clip((batch["hour"] - 1) // 6, 0, len(_HOURS) - 1)
        found["time_of_day"] = np.array(_HOURS)[quarter]
    return {**found, **_hidden_segments(batch, schema)}


def name_hidden_facts(predictions: Predictions) -> Predictions:
    """Turns kept columns of hidden facts, `oracle_<name>`, into segments."""
    schema, columns = predictions.schema, dict(predictions.columns)
    named = _hidden_segments(columns, schema)
    for name in named:
        del columns[f"oracle_{name}"]
    return dataclasses.replace(predictions, columns={**columns, **named})


def _hidden_segments(batch: Batch, schema: Schema) -> dict[str, np.ndarray]:
    """Name of each hidden fact in `oracle_<name>` [B] -> [B] texts."""
    found = {}
    for name in schema.oracle_names:
        if f"oracle_{name}" in batch:
            called = dict(enumerate(_HIDDEN.get(name, ())))
            facts = batch[f"oracle_{name}"].tolist()
            texts = [called.get(fact, str(fact)) for fact in facts]
            found[name] = np.array(texts, np.str_)
    return found
