"""Calls of every signature in the shapes a server will get."""

import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jd_tf.data.validation import RequestValidator
from jd_tf.schema import SERVING_ROLES, IdColumn, Schema
from jd_tf.serving import batching
from jd_tf.serving.errors import ExportError
from jd_tf.serving.export.recordings import Recording
from jd_tf.serving.export.signatures import ServedRanker, state_of
from jd_tf.serving.signature_names import APPEND_EVENTS, APPEND_PREFIX

# Generated where there are no real ones.
_NUM_REQUESTS = 8
_LARGEST_ID = 10_000
_MEAN_FLOAT = 100.0
_NOW, _LARGEST_GAP = 1_700_000_000, 10_000


def record_calls(
    served: ServedRanker,
    functions: Mapping[str, Any],
    requests: Sequence[Mapping[str, Any]],
) -> list[Recording]:
    """Calls the live model once per signature and shape bucket."""
    schema = served.schema
    checker = RequestValidator(schema, SERVING_ROLES)
    read = set().union(*(_taken(functions[name]) for name in functions))
    checked = [checker.check(request, read) for request in requests]
    checked = [request for request in checked if request["num_candidates"] > 0]
    if not checked:
        raise ExportError("warm-up: no request has candidates.")
    columns = [c for c in schema.columns(*SERVING_ROLES) if c.name in read]
    endless = itertools.cycle(checked)
    recordings = []
    for num_requests, num_candidates in shape_buckets(schema):
        widths = {b.length: b.max_length for b in schema.behaviors}
        widths["num_candidates"] = num_candidates
        chosen = itertools.islice(endless, num_requests)
        cut = [
            batching.cut_slices(one, schema, num_candidates)[0]
            for one in chosen
        ]
        tensors = batching.pad_requests(cut, columns, widths)
        # What new events extend is at first nothing, then what is kept.
        twice = (APPEND_EVENTS,) * (APPEND_EVENTS in functions)
        if twice:
            tensors |= nothing_kept(functions[APPEND_EVENTS], num_requests)
        for signature in (*functions, *twice):
            inputs = {n: tensors[n] for n in _taken(functions[signature])}
            outputs = {
                name: tensor.numpy()
                for name, tensor in served.answer(signature, inputs).items()
            }
            recordings.append(Recording(signature, inputs, outputs))
            # A later signature may take the user state.
            tensors |= state_of(outputs) | state_of(outputs, APPEND_PREFIX)
    return recordings


def _taken(function: Any) -> Iterable[str]:
    return function.structured_input_signature[1]


def nothing_kept(function: Any, num_requests: int) -> dict[str, np.ndarray]:
    """Returns the `append_state_*` of users without events."""
    specs = state_of(function.structured_input_signature[1], APPEND_PREFIX)
    return {
        name: np.zeros(
            (num_requests, *(size or 0 for size in spec.shape[1:])),
            spec.dtype.as_numpy_dtype,
        )
        for name, spec in specs.items()
    }


def shape_buckets(schema: Schema) -> list[tuple[int, int]]:
    """Returns requests B and candidates N of each warm-up batch."""
    widths = batching.candidate_buckets(schema.max_candidates)
    alone = {(1, width) for width in widths}
    return sorted(alone | {(size, widths[0]) for size in batching.BATCH_SIZES})


def sample_requests(schema: Schema, seed: int = 0) -> list[dict[str, Any]]:
    """Generates requests, from full histories to none."""
    generator = np.random.default_rng(seed)
    longest = max(behavior.max_length for behavior in schema.behaviors)
    lengths = np.linspace(longest, 0, _NUM_REQUESTS).round().astype(int)
    counts = np.linspace(schema.max_candidates, 1, _NUM_REQUESTS)
    return [
        _sample_request(schema, generator, length, count)
        for length, count in zip(
            lengths, counts.round().astype(int), strict=True
        )
    ]


def _sample_request(
    schema: Schema,
    generator: np.random.Generator,
    history_length: int,
    num_candidates: int,
) -> dict[str, Any]:
    ids: dict[str, IdColumn] = {
        c.name: c for c in (*schema.context_columns, *schema.item_columns)
    }
    action_ids, lengths = {}, {"num_candidates": num_candidates}
    for b in schema.behaviors:
        ids |= {f"{b.name}_{item.name}": item for item in schema.item_columns}
        action_ids[f"{b.name}_action_ids"] = b.num_action_ids + 1
        lengths[b.length] = history_length
    request: dict[str, Any] = {}
    for column in schema.columns(*SERVING_ROLES):
        name = column.name
        shape: tuple[int, ...] = (column.inner,) if column.inner else ()
        if name in lengths:
            continue
        if column.ragged:
            size = min(lengths[column.length], column.max_length)
            shape = (size, *shape)
        if name in ids:
            request[name] = _random_ids(ids[name], generator, shape)
        elif name in action_ids:
            request[name] = generator.integers(0, action_ids[name], shape)
        elif column.dtype == "int64":
            # Times: the request's, and what happened before it.
            gaps = generator.integers(1, _LARGEST_GAP, shape)
            request[name] = _NOW - np.cumsum(gaps) if shape else _NOW
        else:
            request[name] = generator.exponential(_MEAN_FLOAT, shape)
    return request


def _random_ids(
    column: IdColumn, generator: np.random.Generator, shape: tuple[int, ...]
) -> np.ndarray:
    if column.multi_valued:
        one = dataclasses.replace(column, max_values=1)
        drawn = _random_ids(one, generator, shape)
        # From no value at all to as many as there can be.
        counts = generator.integers(0, column.max_values + 1, shape[:1])
        real = np.arange(column.max_values) < counts[:, None]
        return np.where(real, drawn, "" if column.dtype == "string" else 0)
    if column.vocabulary:
        known = np.array(column.vocabulary, dtype=object)
        chosen = np.asarray(generator.choice(known, shape))
    else:
        chosen = np.asarray(generator.integers(1, _LARGEST_ID, shape))
    if column.dtype == "int64":
        return chosen.astype("int64")
    return chosen.astype(str).astype(object)
