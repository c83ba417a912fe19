"""Attention of a ranker's heads to events: measured, drawn, on one page."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from jd_tf.data.batches import read_batches
from jd_tf.data.files import write_whole
from jd_tf.evaluation.collect import to_numpy
from jd_tf.evaluation.pages import Highlight, write_page
from jd_tf.evaluation.pictures import Picture
from jd_tf.evaluation.report.attention_pictures import (
    recency_picture,
    request_picture,
)
from jd_tf.metrics.cells import real_cells
from jd_tf.schema import Behavior, DataError, Schema
from jd_tf.training.workdir import load_trained

PREFIX = "attention_"
_BATCH_SIZE = 64
_MAX_EVENTS_SHOWN = 30
_MIN_EVENTS_SHOWN = 5
# Standard deviation of the lift below which a head chooses nothing.
_EVEN = 0.05


def report_attention(
    data: str | Path,
    workdir: str | Path,
    output_dir: str | Path,
    split: str = "test",
    max_requests: int = 2000,
) -> Path:
    """Writes the attention page of a trained run.

    Args:
        data: the data; its schema must equal the run's.
        workdir: of the run.
        output_dir: gets pictures and page.
        split: whose users.
        max_requests: requests read.

    Returns:
        The page.
    """
    model = load_trained(workdir)
    explain = tf.function(model.explain, reduce_retracing=True, autograph=False)
    batches = read_batches(
        data, split, _BATCH_SIZE, model.schema, keys=True
    ).take(-(-max_requests // _BATCH_SIZE))
    observed = ((batch, explain(batch)) for batch in batches)
    return write_attention_report(
        output_dir,
        model.schema,
        observed,
        title=f"Attention on {model.schema.name}",
    )


def write_attention_report(
    output_dir: str | Path,
    schema: Schema,
    observed: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]],
    max_requests_shown: int = 4,
    title: str = "Attention",
) -> Path:
    """Writes PNG pictures and one self-contained page that holds them.

    Args:
        output_dir: the folder; made if missing.
        schema: of the batches.
        observed: pairs of a batch and the ranker's `explain` of it:
            `attention_<behaviour>` (B, H, N, L), others are ignored.
        max_requests_shown: shown one by one: the first whose histories hold
            at least 5 events of some behaviour.
        title: heading of the page.

    Returns:
        Path of `index.html`.

    Raises:
        DataError: where no request has a history of two events.
    """
    lifts = [AttentionLift(behavior) for behavior in schema.behaviors]
    shown: list[Picture] = []
    for raw, explained in observed:
        batch = to_numpy(raw)
        weights = {}
        for lift in lifts:
            name = lift.behavior.name
            weights[name] = np.asarray(explained[PREFIX + name], np.float32)
            lift.add(batch, weights[name])
        for b in range(len(batch["num_candidates"])):
            if len(shown) == max_requests_shown:
                break
            histories = _histories(batch, weights, schema, b)
            if histories:
                title_of = f"Request {_request_id(batch, b)}"
                shown.append(request_picture(title_of, histories))
    read = [lift for lift in lifts if lift.num_requests]
    if not read:
        raise DataError(
            "no request has a history of two events: attention has no choice. "
            "Give requests of users who did more before."
        )
    pictures = [
        recency_picture(
            lift.behavior.name,
            lift.get("lift"),
            lift.get("age"),
            lift.get("request"),
        )
        for lift in read
    ]
    output = Path(output_dir)
    for picture in (*pictures, *shown):
        stem = re.sub(r"[^a-z0-9]+", "_", picture.title.lower()).strip("_")
        write_whole(output / f"{stem}.png", picture.png)
    return write_page(
        output / "index.html",
        "attention.html",
        title=title,
        pictures=pictures,
        requests=shown,
        warnings=list(_even_heads(read)),
        behaviors=[
            (
                lift.behavior.name,
                f"{lift.num_requests:,}",
                f"{lift.num_events:,}",
            )
            for lift in read
        ],
    )


class AttentionLift:
    """Gathers one behaviour's attention, request by request.

    Histories of fewer than two events are left out: attention has no choice
    there. Gathered is the *lift*: the weight of an event times the number of
    events, averaged over candidates, so that 1 is an even share, and users of
    long and short histories can be averaged.

    Args:
        behavior: whose attention.

    Attributes:
        num_requests: requests whose history counts.
    """

    def __init__(self, behavior: Behavior):
        self.behavior = behavior
        self.num_requests = 0
        self._seen = 0
        self._parts: dict[str, list[np.ndarray]] = {}

    def add(self, batch: Mapping[str, np.ndarray], weights: np.ndarray) -> None:
        """Adds a batch.

        Args:
            batch: arrays as the schema says, serving columns at least.
            weights: [B, H, N, L]; over real events they sum to 1.

        Raises:
            ValueError: naming the behaviour whose weights do not fit.
        """
        name = self.behavior.name
        length = batch[self.behavior.length]
        age = batch[f"{name}_age_seconds"]
        candidates = real_cells(
            batch["num_candidates"], batch["item_id"].shape[1]
        )
        expected = (*candidates.shape, age.shape[1])
        if weights.ndim != 4 or weights.shape[::2] + weights.shape[3:] != (
            expected
        ):
            raise ValueError(
                f"behaviour `{name}`: attention must be (B, H, N, L) with B, "
                f"N, L = {expected}. Got: {weights.shape}."
            )
        real = real_cells(length, age.shape[1])
        total = np.where(real[:, None, None], weights, 0.0).sum(axis=3)
        read = (candidates & (length > 0)[:, None])[:, None]
        wrong = np.abs(np.where(read, total - 1.0, 0.0)).max(initial=0.0)
        if not wrong < 0.02:
            raise ValueError(
                f"behaviour `{name}`: attention over real events must sum to "
                f"1; it is off by {wrong:.3f}."
            )
        real &= (length > 1)[:, None]
        share = candidates / np.maximum(candidates.sum(1, keepdims=True), 1)
        mean = np.einsum("bhnl,bn->blh", weights, share)
        request = np.arange(len(length)) + self._seen
        found = {
            "lift": mean * length[:, None, None],
            "request": np.broadcast_to(request[:, None], real.shape),
            "age": age,
        }
        for key, values in found.items():
            self._parts.setdefault(key, []).append(values[real])
        self._seen += len(length)
        self.num_requests += int((length > 1).sum())

    @property
    def num_events(self) -> int:
        """E, events that count."""
        return sum(len(part) for part in self._parts.get("age", ()))

    def get(self, name: str) -> np.ndarray:
        """`lift` [E, H], `request` [E] or `age` [E] in seconds of E events."""
        return np.concatenate(self._parts[name])


def _even_heads(lifts: Iterable[AttentionLift]) -> Iterator[Highlight]:
    """Warnings of behaviours where no head chooses among events."""
    for lift in lifts:
        spread = float(lift.get("lift").std(axis=0).max())
        if spread < _EVEN:
            yield Highlight(
                "warning",
                f"{lift.behavior.name}: every head spreads its attention "
                f"almost evenly (standard deviation {spread:.3f} of an even "
                "share)",
            )


def _histories(
    batch: Mapping[str, np.ndarray],
    weights: Mapping[str, np.ndarray],
    schema: Schema,
    b: int,
) -> dict[str, dict[str, np.ndarray]]:
    """A request's behaviours with enough events, for `request_picture`."""
    found = {}
    real = real_cells(batch["num_candidates"], batch["item_id"].shape[1])[b]
    for behavior in schema.behaviors:
        name, length = behavior.name, int(batch[behavior.length][b])
        if length < _MIN_EVENTS_SHOWN:
            continue
        shown = slice(0, min(length, _MAX_EVENTS_SHOWN))
        mean = weights[name][b][:, real].mean(axis=1)
        rows = {
            "lift": length * mean.T[shown],
            "age": batch[f"{name}_age_seconds"][b, shown],
        }
        if behavior.dwell:
            rows["dwell"] = batch[f"{name}_dwell_seconds"][b, shown]
        if behavior.action_counters:
            counts = batch[f"{name}_action_counts"][b, shown]
            rows |= dict(zip(behavior.action_counters, counts.T, strict=True))
        found[name] = rows
    return found


def _request_id(batch: Mapping[str, np.ndarray], b: int) -> str:
    """The request's id, or its place where batches come without keys."""
    if "request_id" not in batch:
        return str(b)
    value = batch["request_id"][b]
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
