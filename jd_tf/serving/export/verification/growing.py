"""The invariant of states that grow: parts of a history make the whole."""

from collections.abc import Iterator, Mapping

import numpy as np

from jd_tf.schema import HISTORY_ROLES, Schema
from jd_tf.serving.export.loading import LoadedModel
from jd_tf.serving.signature_names import (
    APPEND_EVENTS,
    APPEND_PREFIX,
    RANK_CANDIDATES,
    SERVING_DEFAULT,
)

Arrays = Mapping[str, np.ndarray]
# Newest events of each history, fewer than any model reads.
_NUM_EVENTS = 2


def grown_states(
    model: LoadedModel, batch: Arrays, schema: Schema
) -> Iterator[tuple[str, Arrays, Arrays]]:
    """Yields the ranking with a state that grew, and with all events at once.

    Args:
        model: has `append_events`.
        batch: inputs of `serving_default`.
        schema: of the model.
    """

    def call(signature: str, tensors: Arrays) -> Arrays:
        names = model.signatures[signature]["inputs"]
        return model.call(signature, {name: tensors[name] for name in names})

    short = dict(batch)
    for behavior in schema.behaviors:
        if behavior.length in batch:
            lengths = np.minimum(batch[behavior.length], _NUM_EVENTS)
            short[behavior.length] = lengths
    state: Arrays = {
        name: np.zeros(
            (len(batch["item_id"]), *(size or 0 for size in spec["shape"][1:])),
            spec["dtype"],
        )
        for name, spec in model.signatures[APPEND_EVENTS]["inputs"].items()
        if name.startswith(APPEND_PREFIX)
    }
    for part in _by_time(short, schema):
        state = call(APPEND_EVENTS, {**state, **part})
    yield (
        f"{APPEND_EVENTS} in two calls, and all events at once",
        call(SERVING_DEFAULT, short),
        call(RANK_CANDIDATES, {**short, **state}),
    )


def _by_time(batch: Arrays, schema: Schema) -> list[dict[str, np.ndarray]]:
    """Returns the older and the newer half of each request's events."""
    names = [
        b.name for b in schema.behaviors if f"{b.name}_event_time" in batch
    ]
    rows = range(len(batch["item_id"]))
    real = {
        name: [
            batch[f"{name}_event_time"][row, : batch[f"{name}_length"][row]]
            for row in rows
        ]
        for name in names
    }
    older, newer = dict(batch), dict(batch)
    new = {name: np.zeros(len(rows), "int32") for name in names}
    for row in rows:
        times = np.sort(np.concatenate([real[name][row] for name in names]))
        for name in names:
            if len(times):
                middle = times[(len(times) - 1) // 2]
                new[name][row] = (real[name][row] > middle).sum()
    for column in schema.columns(*HISTORY_ROLES):
        name = column.name
        counted = next((n for n in names if column.length == f"{n}_length"), "")
        if column.ragged and counted and name in batch:
            width = batch[name].shape[1]
            place = new[counted][:, None] + np.arange(width)
            place = np.minimum(place, width - 1)
            older[name] = batch[name][np.arange(len(rows))[:, None], place]
    for name in names:
        newer[f"{name}_length"] = new[name]
        older[f"{name}_length"] = batch[f"{name}_length"] - new[name]
    return [older, newer]
