"""Importance of columns: what a ranker loses when one of them is permuted."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jd_tf.data.batches import numpy_batches
from jd_tf.evaluation.collect import Predictions, Scorer, collect_predictions
from jd_tf.evaluation.live_scorer import model_scorer
from jd_tf.evaluation.pictures import PALETTE, new_panels, to_png
from jd_tf.schema import Column, Role, Schema
from jd_tf.training.workdir import load_trained

MODEL = "model"
METRICS = ("auc", "gauc")
_BATCH_SIZE = 256
_TITLES = {"auc": "AUC", "gauc": "GAUC"}
# Bars that a picture shows at most.
_SHOWN = 25

Batch = dict[str, np.ndarray]
Permute = Callable[[Batch, np.random.Generator], Batch]


def measure_importance(
    data: str | Path,
    workdir: str | Path,
    split: str,
    max_requests: int,
    num_replicates: int,
    seed: int,
    log: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Judges a trained run with one column after the other permuted.

    Args:
        data: folder of the requests.
        workdir: of the run.
        split: to judge on.
        max_requests: its first requests, so many at most.
        num_replicates: resamples of users for the intervals.
        seed: of the permutations.
        log: called with a line about each column.

    Returns:
        dict of `num_requests`, `objectives`, `metrics` (objective -> metric
        of the model itself) and `columns`: name -> objective -> metric ->
        `difference`, what is lost, and its `interval` (95 %).
    """
    model = load_trained(workdir)
    schema, scorer = model.schema, model_scorer(model)
    # One batch, so that all its arrays have one width.
    batch = next(
        iter(numpy_batches(data, split, max_requests, schema=schema, keys=True))
    )
    whole = _predictions(batch, schema, MODEL, scorer)
    systems = dict(whole.systems)
    permutations = column_permutations(schema)
    for number, (name, permute) in enumerate(permutations.items()):
        log(f"{number + 1} of {len(permutations)}: {name}")
        # Each column has its own, whatever stands before it.
        permuted = permute(batch, np.random.default_rng(seed))
        systems |= _predictions(permuted, schema, name, scorer).systems
    log("comparing")
    predictions = dataclasses.replace(whole, systems=systems)
    judged = predictions.evaluate(
        num_replicates=num_replicates, reference=MODEL
    )[MODEL]
    objectives = schema.outcome_names
    return {
        "num_requests": len(batch["num_candidates"]),
        "objectives": list(objectives),
        "metrics": {o: {m: judged[o][m] for m in METRICS} for o in objectives},
        "columns": {
            name: {
                o: {m: judged[o]["lead"][name][m] for m in METRICS}
                for o in objectives
            }
            for name in permutations
        },
    }


def column_permutations(schema: Schema) -> dict[str, Permute]:
    """Returns, by the name of a column, what permutes it over a split.

    Context and single session features go to other requests; columns and
    single dense features of candidates to other candidates of any request;
    those of events to other events of their behaviour; and `<b>` stands for a
    history as a whole, which goes to another request. Times of events stay
    with their history: they are its order.
    """
    found: dict[str, Permute] = {}
    for behavior in schema.behaviors:
        names = [
            column.name
            for column in schema.columns(Role.HISTORY)
            if behavior.length in (column.name, column.length)
        ]
        found[behavior.name] = _of_requests(names)
    dense = {
        "item_dense": schema.item_dense,
        "session_dense": schema.session_dense,
        **{f"{b.name}_item_dense": b.item_dense for b in schema.behaviors},
        **{
            f"{b.name}_action_counts": b.action_counters
            for b in schema.behaviors
        },
    }
    lengths = {behavior.length for behavior in schema.behaviors}
    left_out = {"request_time", "num_candidates", *lengths}
    roles = (Role.CONTEXT, Role.CANDIDATE, Role.HISTORY)
    for column in schema.columns(*roles):
        if column.name in left_out or column.name.endswith("_event_time"):
            continue
        if column.name in dense:
            for place, feature in enumerate(dense[column.name]):
                name = f"{column.name}: {feature}"
                found[name] = _of_cells(column, place)
        else:
            found[column.name] = _of_cells(column)
    return found


def _of_requests(names: list[str]) -> Permute:
    def permute(batch: Batch, generator: np.random.Generator) -> Batch:
        order = generator.permutation(len(batch["num_candidates"]))
        return {**batch, **{name: batch[name][order] for name in names}}

    return permute


def _of_cells(column: Column, feature: int | None = None) -> Permute:
    """Permutes the real entries of a column, or one feature of them."""

    def permute(batch: Batch, generator: np.random.Generator) -> Batch:
        values = batch[column.name].copy()
        real = np.ones(values.shape[:1], bool)
        if column.ragged:
            place = np.arange(values.shape[1])
            real = place < batch[column.length][:, None]
        entries = values[real]
        order = generator.permutation(len(entries))
        if feature is None:
            values[real] = entries[order]
        else:
            entries[:, feature] = entries[order, feature]
            values[real] = entries
        return {**batch, column.name: values}

    return permute


def _predictions(
    batch: Batch, schema: Schema, name: str, scorer: Scorer
) -> Predictions:
    return collect_predictions(_slices(batch), schema, {name: scorer})


def _slices(batch: Batch) -> Iterator[Batch]:
    for start in range(0, len(batch["num_candidates"]), _BATCH_SIZE):
        rows = slice(start, start + _BATCH_SIZE)
        yield {name: array[rows] for name, array in batch.items()}


def sorted_columns(found: Mapping[str, Any]) -> list[str]:
    """Returns the columns, those first whose AUC lost is largest on average."""

    def lost(name: str) -> float:
        numbers = [
            found["columns"][name][o]["auc"]["difference"] or 0.0
            for o in found["objectives"]
        ]
        return -float(np.mean(numbers))

    return sorted(found["columns"], key=lost)


def importance_markdown(found: Mapping[str, Any]) -> str:
    """Returns a table: a line a column, what it is worth by each metric."""
    places = [(m, o) for m in METRICS for o in found["objectives"]]
    head = ["column", *(f"{_TITLES[m]} {o}" for m, o in places)]
    own = [_number(found["metrics"][o][m]) for m, o in places]
    lines = [
        f"| {' | '.join(head)} |",
        f"|{' --- |' * len(head)}",
        f"| {' | '.join(['(all columns)', *own])} |",
    ]
    for name in sorted_columns(found):
        cells = [_lost(found["columns"][name][o][m]) for m, o in places]
        lines.append(f"| {' | '.join([f'`{name}`', *cells])} |")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _lost(entry: Mapping[str, Any]) -> str:
    if entry["difference"] is None:
        return "-"
    text = f"{-entry['difference']:+.4f}"
    interval = entry["interval"]
    if not interval or interval[0] is None:
        return text
    return f"{text} ({-interval[1]:+.4f} to {-interval[0]:+.4f})"


def importance_picture(found: Mapping[str, Any]) -> bytes:
    """Draws the AUC lost without each column, as PNG."""
    names, objectives = sorted_columns(found)[:_SHOWN], found["objectives"]
    figure, panels = new_panels(
        objectives, height=1 + 0.22 * len(names), columns=2
    )
    for objective, axes in panels.items():
        for place, name in enumerate(names):
            entry = found["columns"][name][objective]["auc"]
            if entry["difference"] is None:
                continue
            axes.barh(place, entry["difference"], color=PALETTE[1])
            if entry["interval"] and entry["interval"][0] is not None:
                axes.plot(entry["interval"], (place, place), color="#222")
        axes.set_yticks(range(len(names)), names, fontsize=6)
        axes.invert_yaxis()
    figure.supxlabel("AUC lost (line: 95 % interval)", fontsize=9)
    return to_png(figure)
