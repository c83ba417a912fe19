"""What the ranker's attention goes to: pictures and a page."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jd_tf.data.files import write_whole
from jd_tf.evaluation.attention_log import AttentionLog
from jd_tf.evaluation.attention_pictures import (
    action_pictures,
    recency_picture,
    shared_picture,
    spread_picture,
)
from jd_tf.evaluation.collect import to_numpy
from jd_tf.evaluation.pages import write_page
from jd_tf.evaluation.pictures import Picture
from jd_tf.evaluation.request_picture import request_picture
from jd_tf.metrics.cells import real_cells
from jd_tf.schema import DataError, Schema

PREFIX = "attention_"
_MAX_EVENTS_SHOWN = 30
_MIN_EVENTS_SHOWN = 5
_FLAT = 0.05


def write_attention_report(
    output_dir: str | Path,
    schema: Schema,
    observed: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]],
    max_requests_shown: int = 4,
    title: str = "What attention goes to",
) -> Path:
    """Writes PNG pictures and one self-contained page that holds them.

    Args:
        output_dir: the folder; made if missing.
        schema: of the batches.
        observed: pairs of a batch and what the ranker's `explain` says of it:
            `attention_<behaviour>` (B, H, N, L), others are ignored.
        max_requests_shown: shown one by one: the first whose histories hold
            at least 5 events of some behaviour.
        title: heading of the page.

    Returns:
        Path of `index.html`.

    Raises:
        DataError: where no request has a history of two events.
    """
    logs = [AttentionLog(behavior, schema) for behavior in schema.behaviors]
    shown: list[Picture] = []
    for raw, explained in observed:
        batch = to_numpy(raw)
        weights = {}
        for log in logs:
            name = log.behavior.name
            weights[name] = np.asarray(explained[PREFIX + name], np.float32)
            log.add(batch, weights[name])
        for b in range(len(batch["num_candidates"])):
            if len(shown) == max_requests_shown:
                break
            histories = _histories(batch, weights, schema, b)
            if histories:
                who = f"Request {_name(batch, b)}"
                shown.append(request_picture(who, histories))
    read = [log for log in logs if log.num_events]
    if not read:
        raise DataError(
            "no request has a history of two events: attention has no choice. "
            "Give requests of users who did more before."
        )
    sections = [("All behaviours", [spread_picture(read)])]
    for log in read:
        pictures = [recency_picture(log), shared_picture(log)]
        pictures += action_pictures(log)
        sections.append((log.behavior.name, pictures))
    output = Path(output_dir)
    for _, pictures in (*sections, ("", shown)):
        for picture in pictures:
            stem = re.sub(r"[^a-z0-9]+", "_", picture.title.lower()).strip("_")
            write_whole(output / f"{stem}.png", picture.png)
    return write_page(
        output / "index.html",
        "attention.html",
        title=title,
        sections=sections,
        requests=shown,
        warnings=list(_flat(read)),
        facts=[
            {
                "name": log.behavior.name,
                "requests": log.num_read,
                "events": log.num_events,
            }
            for log in logs
        ],
    )


def _flat(logs: Iterable[AttentionLog]) -> Iterator[str]:
    """Says where attention does not choose: pictures of it mean nothing."""
    for log in logs:
        spread = float(log.get("lift").std(axis=0).max())
        if spread < _FLAT:
            yield (
                f"{log.behavior.name}: every head spreads its attention almost "
                f"evenly (standard deviation {spread:.3f} of an even share). "
                "It averages the history instead of choosing from it."
            )


def _histories(
    batch: Mapping[str, np.ndarray],
    weights: Mapping[str, np.ndarray],
    schema: Schema,
    b: int,
) -> dict[str, dict[str, np.ndarray]]:
    """A request's behaviours with enough events, as `request_picture` wants."""
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


def _name(batch: Mapping[str, np.ndarray], b: int) -> str:
    """The request's id, or its place where batches come without keys."""
    if "request_id" not in batch:
        return str(b)
    value = batch["request_id"][b]
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
