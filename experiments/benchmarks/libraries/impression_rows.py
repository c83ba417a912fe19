"""Requests as rows of impressions, as other libraries take them.

Axis letters: R requests, M impressions of all of them, L history events,
F dense features, T objectives.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jd_tf.data.files import read_npz, write_json, write_npz
from jd_tf.schema import DataError, Schema

COLUMNS_FILE = "columns.json"
SPLITS = ("train", "validation", "test")
# Table rows of no id and of one that training did not see; others follow.
PADDING, UNKNOWN, FIRST = 0, 1, 2
# All behaviours' events as one history.
TIMELINE, KIND = "event", "kind"
NUM_AGE_ROWS = 34
DENSE, LABELS = "dense", "labels"
_REQUEST = "request"
_BATCH_SIZE = 256

Arrays = dict[str, np.ndarray]


def read_rows(folder: Path, split: str) -> Arrays:
    """Reads rows: one an impression, with its request's columns repeated.

    The order is that of the requests on disk and of their candidates.

    Returns:
        Table rows of ids, [M] int32 of candidates and of the request, [M, L]
        of histories (`<behaviour>_<column>`, newest first, 0 pads, and all
        behaviours by time as `event_<column>`, with the behaviour's number as
        `event_kind`); `<behaviour>_age` [M], 1 + the binary logarithm of the
        seconds since its newest event, 0 without; `dense` [M, F] and `labels`
        [M, T] float32.
    """
    arrays = read_npz(folder / f"{split}.npz")
    request = arrays.pop(_REQUEST)
    of_request = f"{_REQUEST}/"
    return {
        name.removeprefix(of_request): array[request]
        if name.startswith(of_request)
        else array
        for name, array in arrays.items()
    }


def write_rows(data: Path, folder: Path) -> None:
    """Writes the rows of a data folder's splits, and what their columns are.

    Ids are numbered as in the training split, dense columns normalised by it
    as our models do. Texts and columns of several values are left out, as are
    the details of events: row models have no input for them.

    Args:
        data: folder made by make_data.
        folder: of the rows, made if missing.
    """
    # Late, so that the other library's process needs no TensorFlow.
    from jd_tf.data.dataset import read_schema

    schema = read_schema(data)
    folder.mkdir(parents=True, exist_ok=True)
    parts = {split: _read(data, split, schema) for split in SPLITS}
    known = _known_ids(parts["train"], schema)
    layers = _normalizations(parts["train"], schema)
    for split, requests in parts.items():
        rows = _rows(requests, schema, known)
        dense = [
            np.asarray(layer(_of_impressions(requests, name)), np.float32)
            for name, layer in layers.items()
        ]
        if dense:
            rows[DENSE] = np.concatenate(dense, axis=1)
        write_npz(folder / f"{split}.npz", rows)
    sizes = {name: len(ids) + FIRST for name, ids in known.items()}
    description = {
        "items": {c.name: sizes[c.name] for c in schema.single_id_columns},
        "contexts": {c.name: sizes[c.name] for c in schema.context_columns},
        "behaviors": [b.name for b in schema.behaviors],
        "num_dense": len(schema.item_dense) + len(schema.session_dense),
        "objectives": list(schema.objective_names),
        "num_events": sum(b.max_length for b in schema.behaviors),
    }
    # Last: it says that the rows are whole.
    write_json(folder / COLUMNS_FILE, description)


def _rows(
    requests: Mapping[str, np.ndarray],
    schema: Schema,
    known: Mapping[str, np.ndarray],
) -> Arrays:
    """Returns all but dense columns, as they are written."""
    real = _real(requests["num_candidates"], requests["item_id"])
    rows = {_REQUEST: np.nonzero(real)[0].astype(np.int32)}
    rows[LABELS] = requests["labels"][real]
    for column in schema.context_columns:
        ids = number_ids(requests[column.name], known[column.name])
        rows[f"{_REQUEST}/{column.name}"] = ids
    ages, kinds = [], []
    for kind, behavior in enumerate(schema.behaviors, 1):
        times = requests[f"{behavior.name}_event_time"]
        there = _real(requests[behavior.length], times)
        age = np.maximum(requests["request_time"][:, None] - times, 0)
        bucket = np.log2(1.0 + age[:, 0]).astype(np.int32) + 1
        bucket = np.where(there[:, 0], bucket, 0)
        name = f"{_REQUEST}/{behavior.name}_age"
        rows[name] = np.minimum(bucket, NUM_AGE_ROWS - 1)
        # Padding is older than anything.
        ages.append(np.where(there, age, np.iinfo(np.int64).max))
        kinds.append(np.where(there, kind, 0).astype(np.int32))
    order = np.argsort(np.concatenate(ages, axis=1), axis=1, kind="stable")
    events = {KIND: kinds}
    width = max(b.max_length for b in schema.behaviors)
    for column in schema.single_id_columns:
        name, ids = column.name, known[column.name]
        rows[name] = number_ids(requests[name][real], ids)
        events[name] = []
        for behavior in schema.behaviors:
            history = f"{behavior.name}_{name}"
            events[name].append(number_ids(requests[history], ids))
            # Of one length: they are stacked.
            whole = _widened(events[name][-1], width)
            rows[f"{_REQUEST}/{history}"] = whole
    for name, parts in events.items():
        joined = np.take_along_axis(np.concatenate(parts, axis=1), order, 1)
        rows[f"{_REQUEST}/{TIMELINE}_{name}"] = joined
    return rows


def number_ids(ids: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Returns int32 table rows of ids, the first of `known` being `FIRST`."""
    place = np.minimum(np.searchsorted(known, ids), len(known) - 1)
    rows = np.where(known[place] == ids, place + FIRST, UNKNOWN)
    return np.where(_is_padding(ids), PADDING, rows).astype(np.int32)


def _is_padding(ids: np.ndarray) -> np.ndarray:
    return ids == (b"" if ids.dtype == object else 0)


def _real(lengths: np.ndarray, padded: np.ndarray) -> np.ndarray:
    return np.arange(padded.shape[1]) < lengths[:, None]


def _known_ids(requests: Mapping[str, np.ndarray], schema: Schema) -> Arrays:
    """Returns the sorted ids of every column, of histories with candidates."""
    names = {column.name: [column.name] for column in schema.context_columns}
    for column in schema.single_id_columns:
        histories = [f"{b.name}_{column.name}" for b in schema.behaviors]
        names[column.name] = [column.name, *histories]
    found = {}
    for column, parts in names.items():
        ids = np.unique(np.concatenate([requests[n].ravel() for n in parts]))
        found[column] = ids[~_is_padding(ids)]
        if not len(found[column]):
            raise DataError(f"column `{column}` has no id in training.")
    return found


def _normalizations(
    requests: Mapping[str, np.ndarray], schema: Schema
) -> dict[str, Any]:
    """Returns the layers that our models have, adapted, by column."""
    from jd_tf.layers import FeatureNormalization

    layers = {}
    for name in ("item_dense", "session_dense"):
        if features := getattr(schema, name):
            layer = FeatureNormalization(schema.linear_indices(features))
            rows = requests[name]
            layer.adapt(
                rows if rows.ndim == 2 else _of_impressions(requests, name)
            )
            layers[name] = layer
    return layers


def _of_impressions(
    requests: Mapping[str, np.ndarray], name: str
) -> np.ndarray:
    """Returns [M, F] of the features of items, or of requests."""
    real = _real(requests["num_candidates"], requests["item_id"])
    array = requests[name]
    return array[real] if array.ndim == 3 else array[np.nonzero(real)[0]]


def _read(data: Path, split: str, schema: Schema) -> Arrays:
    """Returns all requests of a split in one padded batch."""
    from jd_tf.data.batches import numpy_batches

    batches = list(numpy_batches(data, split, _BATCH_SIZE, schema=schema))
    joined = {}
    for name, first in batches[0].items():
        arrays = [batch[name] for batch in batches]
        if first.ndim > 1:
            # One entry at least, so that there is a newest event to look at.
            width = max(1, *(array.shape[1] for array in arrays))
            arrays = [_widened(array, width) for array in arrays]
        joined[name] = np.concatenate(arrays)
    return joined


def _widened(array: np.ndarray, width: int) -> np.ndarray:
    missing = [(0, 0), (0, width - array.shape[1])]
    missing += [(0, 0)] * (array.ndim - 2)
    fill: Any = b"" if array.dtype == object else 0
    return np.pad(array, missing, constant_values=fill)
