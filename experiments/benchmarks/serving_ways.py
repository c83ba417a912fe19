"""Five ways to have N candidates scored by the same served model."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from jd_tf.schema import HISTORY_ROLES, SERVING_ROLES, Column, Role, Schema
from jd_tf.serving.signature_names import (
    ENCODE_USER,
    RANK_CANDIDATES,
    SERVING_DEFAULT,
)

WAYS = (
    "tiled",
    "one_call",
    "encode_then_slices",
    "cached_state",
    "batched_users",
)
Inputs = dict[str, np.ndarray]
# (signature, inputs) -> outputs, of a model in process or of a server
Call = Callable[[str, Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]
_SEED = 29
_NOW = 1_700_000_000


class ServingWays:
    """Scores the same random request in every way.

    Args:
        call: asks the model.
        schema: of the model.
        num_candidates: N.
        slice_size: candidates a slice of "encode_then_slices".
        num_users: users that "batched_users" asks about together; the first
            is the user of the other ways.
        pool: runs slices.

    Attributes:
        ways: name -> function that takes nothing and gives the first user's
            scores, (N,).
    """

    def __init__(
        self,
        call: Call,
        schema: Schema,
        num_candidates: int,
        slice_size: int,
        num_users: int,
        pool: ThreadPoolExecutor,
    ):
        self._call = call
        self._pool = pool
        self.num_users = num_users
        batch = random_batch(schema, num_users, num_candidates)
        user = {c.name for c in schema.columns(*HISTORY_ROLES)}
        first = {name: array[:1] for name, array in batch.items()}
        self._batch, self._first = batch, first
        self._user = {n: a for n, a in first.items() if n in user}
        candidates = {n: a for n, a in first.items() if n not in user}
        ragged = {c.name for c in schema.columns(Role.CANDIDATE) if c.ragged}
        self._candidates = candidates
        self._slices = [
            _slice(candidates, ragged, start, slice_size)
            for start in range(0, num_candidates, slice_size)
        ]
        # A row an impression, as rankers without a notion of requests have it.
        self._rows = {
            name: array[0][:, None]
            if name in ragged
            else np.repeat(array, num_candidates, axis=0)
            for name, array in first.items()
        }
        self._rows["num_candidates"][:] = 1
        self._state = self._call(ENCODE_USER, self._user)
        self.ways = {name: getattr(self, f"_{name}") for name in WAYS}

    def inputs(self, way: str) -> tuple[str, Inputs]:
        """Signature and inputs of the (last) call that a way makes."""
        return {
            "tiled": (SERVING_DEFAULT, self._rows),
            "one_call": (SERVING_DEFAULT, self._first),
            "encode_then_slices": (
                RANK_CANDIDATES,
                {**self._state, **self._slices[-1]},
            ),
            "cached_state": (
                RANK_CANDIDATES,
                {**self._state, **self._candidates},
            ),
            "batched_users": (SERVING_DEFAULT, self._batch),
        }[way]

    def _tiled(self) -> np.ndarray:
        return self._call(SERVING_DEFAULT, self._rows)["score"][:, 0]

    def _one_call(self) -> np.ndarray:
        return self._call(SERVING_DEFAULT, self._first)["score"][0]

    def _encode_then_slices(self) -> np.ndarray:
        state = self._call(ENCODE_USER, self._user)
        answers = self._pool.map(
            lambda part: self._call(RANK_CANDIDATES, {**state, **part}),
            self._slices,
        )
        return np.concatenate([a["score"][0] for a in answers])

    def _cached_state(self) -> np.ndarray:
        inputs = {**self._state, **self._candidates}
        return self._call(RANK_CANDIDATES, inputs)["score"][0]

    def _batched_users(self) -> np.ndarray:
        return self._call(SERVING_DEFAULT, self._batch)["score"][0]


def random_batch(schema: Schema, num_users: int, num_candidates: int) -> Inputs:
    """Requests of a schema, histories as long as it allows.

    Args:
        schema: of a served model.
        num_users: U.
        num_candidates: N.

    Returns:
        (U, ...) arrays by name, as `serving_default` takes them.
    """
    generator = np.random.default_rng(_SEED)
    lengths = {b.length: b.max_length for b in schema.behaviors}
    lengths["num_candidates"] = num_candidates
    vocabularies = _ids(schema)
    batch = {}
    for column in schema.columns(*SERVING_ROLES):
        if column.name in lengths:
            values = np.full(num_users, lengths[column.name])
        else:
            values = _draw(column, lengths, vocabularies, num_users, generator)
        is_text = column.dtype == "string"
        batch[column.name] = values.astype(object if is_text else column.dtype)
    return batch


def _draw(
    column: Column,
    lengths: Mapping[str, int],
    ids: Mapping[str, Any],
    num_users: int,
    generator: np.random.Generator,
) -> np.ndarray:
    shape = (num_users,)
    if column.ragged:
        shape += (lengths[column.length],)
    if column.inner:
        shape += (column.inner,)
    if column.name == "request_time":
        return np.full(shape, _NOW)
    if column.name.endswith("_event_time"):
        return _NOW - np.sort(generator.exponential(3e5, shape), axis=1)
    if column.dtype == "float32":
        return generator.gamma(1.0, 5.0, shape)
    known = ids.get(column.name)
    if known is not None and len(known):
        return generator.choice(np.array(known, object), shape)
    numbers = generator.integers(1, 2, shape)
    if known is not None:
        numbers = generator.integers(1, 1_000_000, shape)
    if column.dtype == "string":
        return np.array([f"id {n}" for n in numbers.flat], object).reshape(
            shape
        )
    return numbers


def _ids(schema: Schema) -> dict[str, tuple]:
    """Vocabulary by column; empty for hashed ones."""
    found = {c.name: c.vocabulary for c in schema.context_columns}
    for column in schema.item_columns:
        found[column.name] = column.vocabulary
        for behavior in schema.behaviors:
            found[f"{behavior.name}_{column.name}"] = column.vocabulary
    return found


def _slice(
    candidates: Inputs, ragged: set[str], start: int, size: int
) -> Inputs:
    part = {
        name: array[:, start : start + size] if name in ragged else array
        for name, array in candidates.items()
    }
    width = next(part[name].shape[1] for name in ragged)
    count = np.full_like(candidates["num_candidates"], width)
    return {**part, "num_candidates": count}
