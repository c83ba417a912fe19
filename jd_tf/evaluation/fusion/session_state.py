"""State of a session before a request, as segments of requests."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from jd_tf.evaluation.collect import Predictions
from jd_tf.evaluation.scenarios import scenario_names
from jd_tf.schema import Schema

SO_FAR, DEPTH, HOUR = "done_so_far", "events_so_far", "time_of_day"
PROXY = "proxy_intent"
LOOKING, ENGAGED = "looking_around", "engaged"
# Names of the values of the simulator's hidden facts.
_HIDDEN = {"intent": ("browsing", "buying")}
_DEPTHS = ("none", "1 or 2", "3 to 5", "6 or more")
_DEPTH_EDGES = (1, 3, 6)
_HOURS = ("0 to 5 h", "6 to 11 h", "12 to 17 h", "18 to 23 h")

_NATURAL = {name: place for place, name in enumerate((*_DEPTHS, *_HOURS))}

Batch = Mapping[str, np.ndarray]


def session_counts(
    batch: Batch, schema: Schema, session_seconds: float
) -> dict[str, np.ndarray]:
    """Counts the events of the session, from the histories.

    Args:
        batch: as `read_batches` yields it, in NumPy.
        schema: of the batch.
        session_seconds: events not older belong to the session.

    Returns:
        `events` [B, K] of each behaviour, `actions` [B] of all counters but
        the first of each behaviour (a visit has that anyway), both float64.
    """
    size = len(batch["num_candidates"])
    events, actions = [], np.zeros(size)
    for behavior in schema.behaviors:
        name = behavior.name
        age = batch[f"{name}_age_seconds"]
        recent = np.arange(age.shape[1]) < batch[behavior.length][:, None]
        recent = recent & (age <= session_seconds)
        events.append(recent.sum(axis=1, dtype=np.float64))
        if behavior.action_counters:
            counts = batch[f"{name}_action_counts"][..., 1:].sum(axis=-1)
            actions += np.where(recent, counts, 0.0).sum(axis=1)
    return {"events": np.stack(events, axis=1), "actions": actions}


def session_segments(
    batch: Batch, schema: Schema, counts: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Segments of requests by the state of their session.

    Args:
        batch: as above; with the simulator's truth, if it is wanted.
        schema: of the batch.
        counts: of `session_counts`.

    Returns:
        Segmentation -> [B] texts: the last of the schema's behaviours that
        the session has, its number of events, engaged or not (did more than
        visit), the scenario and the time of day where the schema has such
        columns, and hidden facts where there are any.
    """
    events = counts["events"]
    names = np.array(["nothing", *(b.name for b in schema.behaviors)])
    reached = (events > 0) * np.arange(1, events.shape[1] + 1)
    depth = np.digitize(events.sum(axis=1), _DEPTH_EDGES)
    engaged = (events[:, 1:].sum(axis=1) > 0) | (counts["actions"] > 0)
    found = {
        SO_FAR: names[reached.max(axis=1)],
        DEPTH: np.array(_DEPTHS)[depth],
        PROXY: np.where(engaged, ENGAGED, LOOKING),
    }
    contexts = {column.name: column for column in schema.context_columns}
    if schema.scenario_column:
        found["scenario"] = scenario_names(batch[schema.scenario_column])
    if "hour" in contexts and contexts["hour"].dtype == "int64":
        # 1 to 24, as 0 pads.
        quarter = np.clip((batch["hour"] - 1) // 6, 0, len(_HOURS) - 1)
        found[HOUR] = np.array(_HOURS)[quarter]
    return {**found, **hidden_segments(batch, schema)}


def hidden_segments(batch: Batch, schema: Schema) -> dict[str, np.ndarray]:
    """Segments of requests by the simulator's truth.

    Args:
        batch: columns `oracle_<name>` [B], where the truth is wanted.
        schema: of the batch.

    Returns:
        Name of each hidden fact that is there -> [B] texts.
    """
    found = {}
    for name in schema.oracle_names:
        if f"oracle_{name}" in batch:
            called = _HIDDEN.get(name, ())
            texts = [
                called[f] if 0 <= f < len(called) else str(f)
                for f in batch[f"oracle_{name}"].tolist()
            ]
            found[name] = np.array(texts, np.str_)
    return found


def name_hidden_facts(predictions: Predictions) -> Predictions:
    """Turns kept columns of hidden facts, `oracle_<name>`, into segments."""
    schema, columns = predictions.schema, dict(predictions.columns)
    named = hidden_segments(columns, schema)
    for name in named:
        del columns[f"oracle_{name}"]
    return dataclasses.replace(predictions, columns={**columns, **named})


def natural_place(segment: str) -> int:
    """Rank of a segment among those that have an order of their own."""
    return _NATURAL.get(segment, 0)
