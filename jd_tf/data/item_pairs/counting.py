"""Counts pairs of items in the training records of a data folder."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

from jd_tf.data.dataset import read_schema
from jd_tf.data.item_pairs.item_pairs import ColumnPairs, ItemPairs, check_names
from jd_tf.data.item_pairs.training_records import (
    HistoryPlan,
    TrainingRecords,
    user_numbers,
)
from jd_tf.layers.embedding.id_keys import id_keys
from jd_tf.schema import DataError, Schema

# Pairs held at a time; more are counted in several passes.
_MAX_HELD = 1 << 26
_MIN_SORTED = 1 << 22
# Bits of a pair's sort key that tell its part and its distance.
_LOW_BITS = 16
Found = tuple[np.ndarray, ...]


def make_item_pairs(
    data: str | Path,
    columns: Sequence[str] = ("item_id",),
    kinds: Sequence[str] = (),
    window: int = 20,
    backwards: float = 0.7,
    target_damping: float = 0.25,
    num_neighbors: int = 500,
    leave_out: str = "auto",
    num_parts: int = 5,
    progress: bool = False,
) -> ItemPairs:
    """Counts which items follow which in the training split.

    A pair of kind `behavior:objective` is an event of the behaviour and a
    positive candidate of the objective, at most `window` places apart. Where
    the objective is that of the behaviour itself, by its name or because both
    are the first of the schema, events within a history are pairs, too: most
    logs have visits that were no candidate of any request. However many
    requests show it, a pair counts once a user, with 1 / distance, and
    `backwards` times that in the other direction. The weight of a pair is
    its count c over c(event)^0.5 c(target)^target_damping, with the sums of
    all counts of each; scaled so that the mean weight of a kind is 1.

    Memory grows with the number of requests (25 bytes each) and of different
    pairs.

    Args:
        data: folder made by `make_data`.
        columns: id columns whose pairs are counted.
        kinds: `behavior:objective` each; the first of both by default.
        window: largest distance, in events.
        backwards: factor of the pair from target to event.
        target_damping: exponent of the target's count. 0.5 is the cosine;
            less leaves popular targets their advantage.
        num_neighbors: strongest neighbours that are kept.
        leave_out: what a training request's table is counted without: "time",
            its own part of the data and all later ones; "user", all users of
            its part; "auto": time where there is a clock.
        num_parts: parts of the training data, at most 200.
        progress: whether bars are shown.

    Raises:
        DataError: for unknown names, values out of range, and data without
            any pair.
    """
    schema = read_schema(data)
    first = f"{schema.behaviors[0].name}:{schema.objectives[0].name}"
    columns, kinds = tuple(columns), tuple(kinds) or (first,)
    check_names(schema, columns, kinds, str(data))
    for name, value, least, most in (
        ("window", window, 1, 250),
        ("num_parts", num_parts, 2, 200),
        ("num_neighbors", num_neighbors, 1, 10**6),
        ("backwards", backwards, 0, 1),
        ("target_damping", target_damping, 0, 1),
    ):
        if not least <= value <= most:
            raise DataError(
                f"`{name}` must be between {least} and {most}. Got: {value}."
            )
    records = TrainingRecords(data, schema, progress)
    plan = HistoryPlan(records, leave_out, num_parts)
    held = plan.num_events * window * len(kinds) * len(columns)
    num_groups = -(-held // _MAX_HELD)
    summed: dict[tuple[str, str], list[Found]] = {}
    for group in range(max(num_groups, 1)):
        title = f"counting pairs {group + 1}/{max(num_groups, 1)}"
        buffers = {(c, k): _Buffer() for c in columns for k in kinds}
        place = 0
        for batch in records.read(_names(schema, columns), title):
            user = user_numbers(batch["user_id"])
            rows = slice(place, place + len(user))
            place += len(user)
            about = {
                "user": user,
                "part": plan.parts.of(
                    batch["user_id"], batch["request_time"]
                ).numpy(),
                "mine": user % max(num_groups, 1) == group,
                "counted": plan.counted[rows],
                "since": plan.since[rows],
            }
            for (column, kind), buffer in buffers.items():
                for found in _find(schema, batch, about, column, kind, window):
                    buffer.add(*found)
        for key, buffer in buffers.items():
            summed.setdefault(key, []).append(buffer.sums())
    finish = (backwards, target_damping, num_neighbors)
    tables = {}
    for column in columns:
        by_kind = [
            tuple(
                np.concatenate(parts)
                for parts in zip(*summed[column, kind], strict=True)
            )
            for kind in kinds
        ]
        tables[column] = _tables(by_kind, plan, *finish)
        if not tables[column].num_pairs:
            raise DataError(
                f"{data}: no pairs of `{column}`: no user has two different "
                f"ones after each other in {', '.join(kinds)}."
            )
    meta = {
        "window": window,
        "backwards": backwards,
        "target_damping": target_damping,
        "num_neighbors": num_neighbors,
        "schema": schema.name,
    }
    return ItemPairs(tables, kinds, plan.parts, meta)


def _names(schema: Schema, columns: Sequence[str]) -> list[str]:
    """Returns the names of the record columns that are read."""
    names = ["num_candidates", "labels", "label_weights", *columns]
    for behavior in schema.behaviors:
        names += [behavior.length, f"{behavior.name}_event_time"]
        names += [f"{behavior.name}_{column}" for column in columns]
    return names


def _find(
    schema: Schema,
    batch: Mapping[str, np.ndarray],
    about: Mapping[str, np.ndarray],
    column: str,
    kind: str,
    window: int,
) -> Iterator[tuple]:
    """Yields users, parts, events, targets and distances of pairs."""
    behavior, _, objective = kind.partition(":")
    dtype = schema.column(column).dtype
    history = id_keys(batch[f"{behavior}_{column}"], dtype, column).numpy()
    candidates = id_keys(batch[column], dtype, column).numpy()
    number = schema.objective_names.index(objective)
    place = np.arange(history.shape[1])
    real = place < batch[f"{behavior}_length"][:, None]
    user, part = about["user"], about["part"]
    labels, weights = batch["labels"], batch["label_weights"]
    positive = (labels[..., number] > 0) & (weights[..., number] > 0)
    shown = np.arange(candidates.shape[1]) < batch["num_candidates"][:, None]
    row, at = np.nonzero(positive & shown & about["mine"][:, None])
    for distance in range(1, min(window, history.shape[1]) + 1):
        there = row[real[row, distance - 1]]
        target = candidates[row, at][real[row, distance - 1]]
        event = history[there, distance - 1]
        yield user[there], part[there], event, target, distance
    both_first = (behavior, number) == (schema.behaviors[0].name, 0)
    if behavior != objective and not both_first:
        return
    chosen = np.flatnonzero(about["counted"] & about["mine"])
    # Not counted before.
    since = about["since"][chosen, None]
    times = batch[f"{behavior}_event_time"][chosen]
    new = real[chosen] & (times > since)
    history, real = history[chosen], real[chosen]
    for distance in range(1, min(window, history.shape[1] - 1) + 1):
        pair = new[:, :-distance] & real[:, distance:]
        row, at = np.nonzero(pair)
        there = chosen[row]
        event, target = history[row, at + distance], history[row, at]
        yield user[there], part[there], event, target, distance


class _Buffer:
    """Pairs found so far, each once a user: its earliest part, its nearest."""

    def __init__(self) -> None:
        none = np.zeros(0, np.int64)
        self._held: Found = (none.astype(np.uint64), none, none)
        self._new: list[Found] = []
        self._num_new = 0

    def add(
        self,
        user: np.ndarray,
        part: np.ndarray,
        event: np.ndarray,
        target: np.ndarray,
        distance: int,
    ) -> None:
        """Adds pairs of ids that differ and are no padding."""
        good = (event != target) & (event != 0) & (target != 0)
        user, part, event, target = (
            array[good].astype(np.int64)
            for array in (user, part, event, target)
        )
        key: np.ndarray = np.zeros(len(user), np.uint64)
        for values in (user, event, target):
            key = _mixed(key ^ values.astype(np.uint64))
        key = key >> _LOW_BITS << _LOW_BITS
        key |= (part << 8 | distance).astype(np.uint64)
        self._new.append((key, event, target))
        self._num_new += len(key)
        if self._num_new > max(_MIN_SORTED, len(self._held[0])):
            self._settle()

    def _settle(self) -> None:
        parts = zip(self._held, *self._new, strict=True)
        key, event, target = (np.concatenate(part) for part in parts)
        order = np.argsort(key)
        pair = key[order] >> _LOW_BITS
        first = order[np.append(True, pair[1:] != pair[:-1])[: len(pair)]]
        self._held = (key[first], event[first], target[first])
        self._new, self._num_new = [], 0

    def sums(self) -> Found:
        """Returns part, event, target and count of pairs, over all users."""
        self._settle()
        key, event, target = self._held
        part = (key >> 8 & 255).astype(np.int64)
        weight = 1.0 / (key & 255)
        ids, rows = np.unique(
            np.concatenate([event, target]), return_inverse=True
        )
        event, target = np.split(rows.astype(np.int64), 2)
        code = (part * len(ids) + event) * len(ids) + target
        code, places = np.unique(code, return_inverse=True)
        counts = np.bincount(places, weight, len(code))
        rest, target = np.divmod(code, max(len(ids), 1))
        part, event = np.divmod(rest, max(len(ids), 1))
        return part, ids[event], ids[target], counts


def _mixed(values: np.ndarray) -> np.ndarray:
    """Mixes all bits of uint64 numbers, as `hashed_rows` does."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        values = (values ^ (values >> shift)) * np.uint64(factor)
    return values ^ (values >> 31)


def _tables(
    found: Sequence[Found],
    plan: HistoryPlan,
    backwards: float,
    target_damping: float,
    num_neighbors: int,
) -> ColumnPairs:
    """Returns the tables of one column, `found` of each kind."""
    keys = np.unique(np.concatenate([ids for f in found for ids in f[1:3]]))
    num_parts = plan.parts.num_parts
    kinds: list[list[Any]] = []
    for part, event, target, count in found:
        rows, columns = (
            np.searchsorted(keys, event),
            np.searchsorted(keys, target),
        )
        tables = []
        for number in range(num_parts + 1):
            read = np.ones(len(part), bool)
            if number < num_parts:
                read = plan.parts.are_read_by(number, part)
            counts = scipy.sparse.csr_matrix(
                (count[read], (rows[read], columns[read])), (len(keys),) * 2
            )
            counts = (counts + backwards * counts.T).tocsr()
            tables.append(_damped(counts, target_damping, num_neighbors))
        mean = tables[-1].data.mean() if tables[-1].nnz else 1.0
        for table in tables:
            table.data /= mean
        kinds.append(tables)
    flat = [kind[number] for number in range(num_parts + 1) for kind in kinds]
    sizes = np.array([[table.nnz] for table in flat], np.int64)
    firsts = np.cumsum(sizes) - sizes[:, 0]
    starts = np.stack([table.indptr for table in flat]) + firsts[:, None]
    return ColumnPairs(
        keys,
        starts.reshape(num_parts + 1, len(found), -1).astype(np.int64),
        np.concatenate([table.indices for table in flat]).astype(np.int32),
        np.concatenate([table.data for table in flat]).astype(np.float32),
    )


def _damped(counts: Any, target_damping: float, num_neighbors: int) -> Any:
    """Returns the strongest neighbours of each row, ascending in a row."""
    rows = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    of_event = np.asarray(counts.sum(axis=1)).ravel()[rows]
    of_target = np.asarray(counts.sum(axis=0)).ravel()[counts.indices]
    weights = counts.data / (of_event**0.5 * of_target**target_damping)
    order = np.lexsort((counts.indices, -weights, rows))
    rank = np.arange(len(order)) - counts.indptr[rows]
    kept = order[rank < num_neighbors]
    strongest = scipy.sparse.csr_matrix(
        (weights[kept], (rows[kept], counts.indices[kept])), counts.shape
    )
    strongest.sort_indices()
    return strongest
