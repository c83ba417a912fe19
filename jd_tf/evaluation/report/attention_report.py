"""Attention of a ranker's heads to the events of a few requests: a page."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from jd_tf.data.batches import read_batches, traced_once
from jd_tf.data.files import write_whole
from jd_tf.evaluation.baselines.features import event_ages
from jd_tf.evaluation.collect import to_numpy
from jd_tf.evaluation.pages import Highlight, write_page
from jd_tf.evaluation.pictures import Picture, to_png
from jd_tf.metrics.cells import real_cells
from jd_tf.schema import Behavior, DataError, Schema
from jd_tf.training.workdir import load_trained

_BATCH_SIZE = 64
_MAX_EVENTS_SHOWN = 30
_MIN_EVENTS_SHOWN = 5
# Standard deviation of the lift below which a head chooses nothing.
_EVEN = 0.05
_UNITS = (("y", 31_557_600), ("d", 86_400), ("h", 3600), ("min", 60))


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
    batches = read_batches(
        data, split, _BATCH_SIZE, model.schema, keys=True
    ).take(-(-max_requests // _BATCH_SIZE))
    explain = traced_once(model.explain, batches)
    observed = ((batch, explain(batch)) for batch in batches)
    title = f"Attention on {model.schema.name}"
    return write_attention_report(
        output_dir, model.schema, observed, title=title
    )


def write_attention_report(
    output_dir: str | Path,
    schema: Schema,
    observed: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]],
    max_requests_shown: int = 4,
    title: str = "Attention",
) -> Path:
    """Writes PNG pictures and `index.html`, a self-contained page of them.

    `observed` are pairs of a batch and the ranker's `explain` of it.
    """
    read: dict[str, list[np.ndarray]] = {b.name: [] for b in schema.behaviors}
    num_requests = dict.fromkeys(read, 0)
    pictures: list[Picture] = []
    for raw, explained in observed:
        batch, lifts = to_numpy(raw), {}
        has_id = "request_id" in batch
        for behavior in schema.behaviors:
            name, length = behavior.name, batch[behavior.length]
            if f"attention_{name}" not in explained:
                raise DataError(
                    f"the model explains no attention to `{name}`. Report one "
                    "whose `explain` does; JDRanker's needs `use_sequence`."
                )
            weights = explained[f"attention_{name}"]
            lifts[name] = lift_of(batch, behavior, weights)
            # Attention to one event has no choice.
            real = real_cells(length, lifts[name].shape[1])
            real &= (length > 1)[:, None]
            read[name].append(lifts[name][real])
            num_requests[name] += int((length > 1).sum())
        for row in range(len(batch["num_candidates"])):
            if len(pictures) == max_requests_shown:
                break
            histories = _histories(batch, lifts, schema, row)
            if histories:
                # Its place where batches come without keys.
                number = batch["request_id"][row] if has_id else row
                if isinstance(number, bytes):
                    number = number.decode("utf-8")
                pictures.append(request_picture(f"Request {number}", histories))
    events = {n: np.concatenate(p) for n, p in read.items() if num_requests[n]}
    if not events:
        raise DataError(
            "no request has a history of two events: attention has no choice. "
            "Give requests of users who did more before."
        )
    spreads = {n: float(e.std(axis=0).max()) for n, e in events.items()}
    for picture in pictures:
        stem = re.sub(r"[^a-z0-9]+", "_", picture.title.lower()).strip("_")
        write_whole(Path(output_dir) / f"{stem}.png", picture.png)
    return write_page(
        Path(output_dir) / "index.html",
        "attention.html",
        title=title,
        pictures=pictures,
        warnings=[
            Highlight(
                "warning",
                f"{name}: every head spreads its attention almost evenly",
            )
            for name, spread in spreads.items()
            if spread < _EVEN
        ],
        behaviors=[
            (n, f"{num_requests[n]:,}", f"{len(e):,}", f"{spreads[n]:.3f}")
            for n, e in events.items()
        ],
    )


def lift_of(
    batch: Mapping[str, np.ndarray], behavior: Behavior, weights: Any
) -> np.ndarray:
    """[B, L, H] attention [B, H, N, L] to events in units of an even share.

    The weight of an event times the number of events, averaged over the
    candidates, so that users of long and short histories compare.
    """
    name, length = behavior.name, batch[behavior.length]
    weights = np.asarray(weights, np.float32)
    candidates = real_cells(batch["num_candidates"], batch["item_id"].shape[1])
    width = batch[f"{name}_event_time"].shape[1]
    expected = (*candidates.shape, width)
    if weights.ndim != 4 or weights.shape[::2] + weights.shape[3:] != expected:
        raise ValueError(
            f"behaviour `{name}`: attention must be (B, H, N, L) with B, N, L "
            f"= {expected}. Got: {weights.shape}."
        )
    real = real_cells(length, width)
    total = np.where(real[:, None, None], weights, 0.0).sum(axis=3)
    read = (candidates & (length > 0)[:, None])[:, None]
    wrong = np.abs(np.where(read, total - 1.0, 0.0)).max(initial=0.0)
    if not wrong < 0.02:
        raise ValueError(
            f"behaviour `{name}`: attention over real events must sum to 1; "
            f"it is off by {wrong:.3f}."
        )
    share = candidates / np.maximum(candidates.sum(1, keepdims=True), 1)
    mean = np.einsum("bhnl,bn->blh", weights, share)
    return mean * length[:, None, None]


def request_picture(
    title: str, histories: Mapping[str, Mapping[str, np.ndarray]]
) -> Picture:
    """One request: heads against events, and the actions at each event."""
    # The age is no row.
    heights = [
        len(rows["lift"].T) + len(rows) - 2 for rows in histories.values()
    ]
    height = 0.9 * len(histories) + 0.24 * sum(heights)
    figure = Figure(figsize=(7.2, height), layout="constrained")
    panels = figure.subplots(
        len(heights), 1, height_ratios=heights, squeeze=False
    )
    for axes, (behavior, rows) in zip(
        panels[:, 0], histories.items(), strict=True
    ):
        actions = dict(rows)
        lift, age = actions.pop("lift").T, actions.pop("age")
        labels = [f"head {head}" for head in range(len(lift))]
        labels += [name.replace("_", " ") for name in actions]
        # Blank where the other picture of the panel stands.
        blank = np.full((len(labels), len(age)), np.nan)
        heads, done = blank.copy(), blank
        heads[: len(lift)] = lift
        for row, values in enumerate(actions.values(), len(lift)):
            scaled = np.log1p(np.maximum(values, 0.0))
            done[row] = scaled / max(scaled.max(), 1e-9)
        limit = max(2.0, float(lift.max()))
        image = axes.imshow(
            heads, aspect="auto", cmap="YlOrRd", vmin=0.0, vmax=limit
        )
        axes.imshow(done, aspect="auto", cmap="Greys", vmin=0.0, vmax=1.0)
        figure.colorbar(image, ax=axes, pad=0.01).ax.tick_params(labelsize=6)
        axes.set_title(f"{behavior}, newest first", fontsize=8, loc="left")
        axes.set_yticks(range(len(labels)), labels, fontsize=7)
        shown = range(0, len(age), max(1, len(age) // 12))
        ages = [age_text(age[event]) for event in shown]
        axes.set_xticks(list(shown), ages, rotation=40, fontsize=7)
        axes.set_xlabel("age of the event", fontsize=8)
    alt = f"{title}: attention of every head to every event of the histories."
    return Picture(title, alt, to_png(figure))


def age_text(seconds: float) -> str:
    """E.g. "3 h"; whole units, rounded."""
    for unit, size in _UNITS:
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _histories(
    batch: Mapping[str, np.ndarray],
    lifts: Mapping[str, np.ndarray],
    schema: Schema,
    row: int,
) -> dict[str, dict[str, np.ndarray]]:
    """A request's behaviours with enough events, for `request_picture`."""
    found = {}
    for behavior in schema.behaviors:
        name, length = behavior.name, int(batch[behavior.length][row])
        if length < _MIN_EVENTS_SHOWN:
            continue
        shown = slice(0, min(length, _MAX_EVENTS_SHOWN))
        rows = {
            "lift": lifts[name][row, shown],
            "age": event_ages(batch, behavior)[row, shown],
        }
        if behavior.dwell:
            rows["dwell"] = batch[f"{name}_dwell_seconds"][row, shown]
        if behavior.action_counters:
            counts = batch[f"{name}_action_counts"][row, shown]
            rows |= dict(zip(behavior.action_counters, counts.T, strict=True))
        found[name] = rows
    return found
