"""Calls of every signature in the shapes a server will see."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jd_tf.data.validation import RequestValidator
from jd_tf.schema import SERVING_ROLES, USER_ROLES, Role, Schema
from jd_tf.serving.batching import pad_requests
from jd_tf.serving.errors import ExportError
from jd_tf.serving.export.recordings import Recording
from jd_tf.serving.export.sample_requests import sample_request
from jd_tf.serving.export.signatures import ServedRanker, split_state
from jd_tf.serving.shape_buckets import BATCH_SIZES, candidate_buckets
from jd_tf.serving.signature_names import (
    ENCODE_USER,
    EXPLAIN,
    RANK_CANDIDATES,
    SERVING_DEFAULT,
)

# Made up where there are no real ones.
_NUM_REQUESTS = 8


def shape_buckets(schema: Schema) -> list[tuple[int, int]]:
    """Requests B and candidates N of each warm-up batch.

    Every width that a client pads one request to, and every batch size that
    a batching server fills up to.
    """
    widths = candidate_buckets(schema.max_candidates)
    alone = {(1, width) for width in widths}
    return sorted(alone | {(size, widths[0]) for size in BATCH_SIZES})


def sample_requests(schema: Schema, seed: int = 0) -> list[dict[str, Any]]:
    """Made-up requests, from full histories and candidates to almost none."""
    generator = np.random.default_rng(seed)
    longest = max(behavior.max_length for behavior in schema.behaviors)
    lengths = np.linspace(longest, 0, _NUM_REQUESTS).round().astype(int)
    most = schema.max_candidates
    counts = np.linspace(most, 1, _NUM_REQUESTS).round().astype(int)
    return [
        sample_request(schema, generator, int(length), int(count))
        for length, count in zip(lengths, counts, strict=True)
    ]


def record_calls(
    served: ServedRanker, requests: Sequence[Mapping[str, Any]]
) -> list[Recording]:
    """Calls the live model once per signature and shape bucket.

    Args:
        served: the live model.
        requests: real or made-up; cut and padded to the buckets, histories to
            the schema's longest.

    Returns:
        Inputs and the live model's answers.

    Raises:
        DataError: if a request is wrong, or none has candidates.
    """
    schema = served.schema
    checker = RequestValidator(schema, SERVING_ROLES)
    checked = [checker.check(request) for request in requests]
    checked = [request for request in checked if request["num_candidates"] > 0]
    if not checked:
        raise ExportError("warm-up: no request has candidates.")
    columns = schema.columns(*SERVING_ROLES)
    endless = itertools.cycle(checked)
    recordings = []
    for num_requests, num_candidates in shape_buckets(schema):
        widths = {b.length: b.max_length for b in schema.behaviors}
        widths["num_candidates"] = num_candidates
        chosen = itertools.islice(endless, num_requests)
        cut = [_cut(request, schema, num_candidates) for request in chosen]
        recordings += _record(served, pad_requests(cut, columns, widths))
    return recordings


def _record(
    served: ServedRanker, batch: Mapping[str, np.ndarray]
) -> list[Recording]:
    schema = served.schema
    user = {c.name: batch[c.name] for c in schema.columns(*USER_ROLES)}
    candidates = {c.name: batch[c.name] for c in schema.columns(Role.CANDIDATE)}
    state, _ = split_state(_answer(served, ENCODE_USER, user))
    calls = {
        SERVING_DEFAULT: batch,
        ENCODE_USER: user,
        RANK_CANDIDATES: {**state, **candidates},
        EXPLAIN: batch,
    }
    return [
        Recording(signature, dict(inputs), _answer(served, signature, inputs))
        for signature, inputs in calls.items()
    ]


def _answer(
    served: ServedRanker, signature: str, inputs: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    answered = served.answer(signature, inputs)
    return {name: tensor.numpy() for name, tensor in answered.items()}


def _cut(
    request: Mapping[str, np.ndarray], schema: Schema, num_candidates: int
) -> dict[str, np.ndarray]:
    cut = dict(request)
    for column in schema.columns(Role.CANDIDATE):
        if column.ragged:
            cut[column.name] = request[column.name][:num_candidates]
    cut["num_candidates"] = np.int32(len(cut["item_id"]))
    return cut
