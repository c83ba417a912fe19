"""Hand-made features of an impression: numbers, id overlap, categories."""

import numpy as np

from jd_tf.evaluation.baselines.rates import Arrays, IdSums
from jd_tf.metrics.cells import real_cells
from jd_tf.schema import Behavior, Schema


def match_events(batch: Arrays, behavior: Behavior, column: str) -> np.ndarray:
    """[B, N, L] float32, 1 where candidate and real event have the same id.

    Of a multi-valued column: the share of the candidate's values that the
    event has.
    """
    candidates, events = batch[column], batch[f"{behavior.name}_{column}"]
    real = real_cells(batch[behavior.length], events.shape[1])
    if events.dtype.kind in "SU":
        candidates, events = candidates.astype(object), events.astype(object)
    # Ids that stand for nothing, 0 or the empty string, match nothing.
    if events.ndim == 2:
        real = real & events.astype(bool)
        same = candidates[:, :, None] == events[:, None, :]
        return (same & real[:, None, :]).astype(np.float32)
    wanted = candidates.astype(bool)
    found = np.zeros((*candidates.shape[:2], events.shape[1]), np.float32)
    for value in range(candidates.shape[2]):
        one = candidates[:, :, None, value, None]
        same = (one == events[:, None]).any(axis=-1)
        found += same & wanted[:, :, None, value] & real[:, None, :]
    return found / np.maximum(wanted.sum(axis=2), 1)[..., None]


def event_ages(batch: Arrays, behavior: Behavior) -> np.ndarray:
    """[B, L] float32 seconds before the request, 0 in padding."""
    times = batch[f"{behavior.name}_event_time"]
    real = real_cells(batch[behavior.length], times.shape[1])
    ages = batch["request_time"][:, None] - np.where(real, times, 0)
    return np.where(real, np.maximum(ages, 0), 0).astype(np.float32)


def newest_first(batch: Arrays, behavior: Behavior) -> np.ndarray:
    """[B, L] float32: 1, 1/2, 1/3 ... for real events, 0 for padding."""
    length = batch[behavior.length]
    width = batch[f"{behavior.name}_event_time"].shape[1]
    places = 1.0 / np.arange(1, width + 1)
    return np.where(real_cells(length, width), places, 0.0).astype(np.float32)


def history_features(
    batch: Arrays, schema: Schema
) -> tuple[np.ndarray, list[str]]:
    """[B, N, K] summaries of histories, overlap with candidates; K names."""
    size, width = batch["item_id"].shape
    parts: list[np.ndarray] = []
    names: list[str] = []
    for behavior in schema.behaviors:
        events, kinds = _events(batch, behavior)
        length = batch[behavior.length].astype(np.float32)
        with np.errstate(invalid="ignore"):  # no event, no mean: nan
            means = events[..., 2:].sum(axis=1) / length[:, None]
        age = np.log1p(event_ages(batch, behavior))
        ends = _at(age, np.zeros(size, np.int64), length > 0)
        last = np.maximum(length.astype(np.int64) - 1, 0)
        oldest = _at(age, last, length > 0)
        user = np.stack([length, ends, oldest, *means.T], axis=1)
        parts.append(np.repeat(user[:, None], width, axis=1))
        summaries = ["length", "newest_age", "oldest_age"]
        summaries += [f"mean_{kind}" for kind in kinds[2:]]
        names += [f"{behavior.name}_{name}" for name in summaries]
        for column in schema.item_id_columns:
            matches = match_events(batch, behavior, column.name)
            parts.append(matches @ events)
            hits = matches > 0
            newest = hits.argmax(axis=2) if hits.size else last[:, None]
            newest = np.broadcast_to(newest, (size, width))
            found = np.any(hits, axis=2)
            place = np.where(found, newest, np.nan)
            since = _at(age, newest, found)
            parts.append(np.stack([place, since], axis=2))
            names += [
                f"{behavior.name}_{column.name}_{kind}"
                for kind in [*kinds, "place", "age"]
            ]
        if behavior.item_dense:
            past = batch[f"{behavior.name}_item_dense"]
            past = np.where(events[..., :1] > 0, past, 0).sum(axis=1)
            mean = past / np.where(length > 0, length, np.nan)[:, None]
            known = schema.dense_indices(behavior)
            parts.append(batch["item_dense"][..., known] - mean[:, None])
            names += [f"{behavior.name}_{n}_gap" for n in behavior.item_dense]
    features = np.concatenate(
        [part.astype(np.float32) for part in parts], axis=2
    )
    return features, names


def dense_features(batch: Arrays, schema: Schema) -> np.ndarray:
    """`item_dense` and `session_dense` side by side, [B, N, K]."""
    size, width = batch["item_id"].shape
    parts = [np.zeros((size, width, 0), np.float32)]
    if schema.item_dense:
        parts.append(batch["item_dense"])
    if schema.session_dense:
        session = batch["session_dense"][:, None]
        parts.append(np.repeat(session, width, axis=1))
    return np.concatenate(parts, axis=2, dtype=np.float32)


def _events(batch: Arrays, behavior: Behavior) -> tuple[np.ndarray, list[str]]:
    """[B, L, W] numbers of every event, 0 in padding, and W names."""
    name = behavior.name
    real = real_cells(
        batch[behavior.length], batch[f"{name}_event_time"].shape[1]
    )
    parts = [real[..., None], newest_first(batch, behavior)[..., None]]
    kinds = ["matches", "recent_matches"]
    if behavior.dwell:
        dwell = np.maximum(batch[f"{name}_dwell_seconds"], 0)  # -1: unknown
        parts.append(np.log1p(dwell)[..., None])
        kinds.append("dwell")
    if behavior.action_counters:
        parts.append(np.log1p(batch[f"{name}_action_counts"]))
        kinds += behavior.action_counters
    events = np.concatenate(parts, axis=2, dtype=np.float32)
    return np.where(real[..., None], events, np.float32(0)), kinds


def _at(values: np.ndarray, place: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """values[b, place[b, ...]] of [B, L] values, nan where not valid."""
    if not values.shape[1]:
        return np.full(place.shape, np.nan, np.float32)
    rows = np.arange(len(values)).reshape(-1, *[1] * (place.ndim - 1))
    return np.where(valid, values[rows, place], np.nan)


class Categories:
    """Numbers the most frequent ids of some columns; the rest are missing."""

    def __init__(self, schema: Schema, max_categories: int = 250):
        self.schema = schema
        self.max_categories = max_categories
        slots = sum(len(behavior.action_slots) for behavior in schema.behaviors)
        size = len(schema.single_id_columns[1:]) + len(schema.context_columns)
        self._sums = [IdSums(1) for _ in range(size + slots)]
        self._known: list[np.ndarray] = []

    def add(self, batch: Arrays) -> None:
        """Counts the ids of a batch's real impressions."""
        real = real_cells(batch["num_candidates"], batch["item_id"].shape[1])
        for place, ids in enumerate(self._columns(batch)):
            ids = ids[real]
            self._sums[place].add(ids, np.ones((len(ids), 1)))

    def settle(self) -> None:
        """Fixes the numbers; call once all batches are counted."""
        self._known = [sums.top(self.max_categories) for sums in self._sums]

    def encode(self, batch: Arrays) -> np.ndarray:
        """[B, N, K] float32 numbers from 0, nan for ids without one."""
        parts = [np.zeros((*batch["item_id"].shape, 0), np.float32)]
        for known, ids in zip(self._known, self._columns(batch), strict=True):
            number = np.full(ids.shape, np.nan)
            if len(known):
                place = np.searchsorted(known, ids)
                place = np.minimum(place, len(known) - 1)
                number = np.where(known[place] == ids, place, np.nan)
            parts.append(number[..., None])
        return np.concatenate(parts, axis=2, dtype=np.float32)

    def _columns(self, batch: Arrays) -> list[np.ndarray]:
        """Every column as [B, N]."""
        shape = batch["item_id"].shape
        columns = [batch[c.name] for c in self.schema.single_id_columns[1:]]
        per_request = [batch[c.name] for c in self.schema.context_columns]
        for behavior in self.schema.behaviors:
            if not behavior.action_slots:
                continue
            actions = batch[f"{behavior.name}_action_ids"]
            newest = np.zeros((len(actions), actions.shape[2]), np.int64)
            if actions.shape[1]:
                some = batch[behavior.length][:, None] > 0
                newest = np.where(some, actions[:, 0], 0)
            per_request += list(newest.T)
        columns += [np.broadcast_to(ids[:, None], shape) for ids in per_request]
        return columns
