"""Made-up requests of any schema, for warm-up and self-checks."""

from typing import Any

import numpy as np

from jd_tf.schema import SERVING_ROLES, Column, IdColumn, Schema

_LARGEST_ID = 10_000
_MEAN_AMOUNT = 100.0


def sample_request(
    schema: Schema,
    generator: np.random.Generator,
    history_length: int,
    num_candidates: int,
) -> dict[str, Any]:
    """A valid request with random ids; ages grow, floats are positive.

    Args:
        schema: its columns.
        generator: of the random numbers.
        history_length: events of each behaviour, cut to its own maximum.
        num_candidates: cut to the schema's maximum.
    """
    ids = {column.name: column for column in schema.context_columns}
    action_ids = {}
    for behavior in schema.behaviors:
        action_ids[f"{behavior.name}_action_ids"] = behavior.num_action_ids
        for column in schema.item_columns:
            ids[f"{behavior.name}_{column.name}"] = column
    for column in schema.item_columns:
        ids[column.name] = column
    lengths = {b.length: history_length for b in schema.behaviors}
    lengths["num_candidates"] = num_candidates
    request: dict[str, Any] = {}
    for column in schema.columns(*SERVING_ROLES):
        if column.name in lengths:
            continue
        shape = _shape(column, lengths)
        if column.name in ids:
            values = _random_ids(ids[column.name], generator, shape)
        elif column.name in action_ids:
            limit = action_ids[column.name] + 1
            values = generator.integers(0, limit, shape)
        else:
            values = generator.exponential(_MEAN_AMOUNT, shape)
            if column.name.endswith("_age_seconds"):
                values = np.cumsum(values)
        request[column.name] = values
    return request


def _shape(column: Column, lengths: dict[str, int]) -> tuple[int, ...]:
    shape: tuple[int, ...] = ()
    if column.ragged:
        shape = (min(lengths[column.length], column.max_length),)
    return (*shape, column.inner) if column.inner else shape


def _random_ids(
    column: IdColumn, generator: np.random.Generator, shape: tuple[int, ...]
) -> np.ndarray:
    if column.vocabulary:
        known = np.array(column.vocabulary, dtype=object)
        chosen = known[generator.integers(0, len(known), shape)]
    else:
        chosen = generator.integers(1, _LARGEST_ID, shape)
    if column.dtype == "int64":
        return np.asarray(chosen, "int64")
    texts = np.array([str(i) for i in np.asarray(chosen).flat], object)
    return texts.reshape(shape)
