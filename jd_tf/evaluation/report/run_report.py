"""The report of a trained run from metrics.json: a page, and a summary."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jd_tf.data.dataset import SUMMARY_FILE
from jd_tf.data.files import read_json
from jd_tf.evaluation.metrics_file import (
    METRICS_FILE,
    NOTES,
    SCENARIOS,
    read_metrics,
)
from jd_tf.evaluation.objective_metrics import (
    CAPTURE_PLACES,
    HEADLINE,
    NDCG,
    NEXT_ITEM,
)
from jd_tf.evaluation.pages import below_chance, write_page
from jd_tf.evaluation.pictures import color_of
from jd_tf.evaluation.post_training import CALIBRATION, FUSION
from jd_tf.evaluation.report.highlights import fusion_line, highlights, standing
from jd_tf.evaluation.report.metric_pictures import (
    by_objective,
    calibration_pictures,
    interval_picture,
    learning_pictures,
)
from jd_tf.evaluation.system_metrics import CEILING, FLOOR, VALUE
from jd_tf.schema import Schema
from jd_tf.training.checkpoints import Checkpoints
from jd_tf.training.workdir import CHECKPOINTS, CONFIG_FILE, read_post_training

REPORT_FILE = "report.html"
_COLUMNS = {
    **HEADLINE,
    **{name: name.upper() for name in NEXT_ITEM},
    "log_loss": "log loss",
    "normalized_entropy": "norm. entropy",
    "calibration_error": "calib. error",
    "calibration_ratio": "pred. / obs.",
    "mean_absolute_error": "mean abs. error",
    "relative_deviance": "rel. deviance",
}
_NOT_BY_SCENARIO = (
    *("gauc_user", "log_loss", "normalized_entropy", "mean_absolute_error"),
    *NEXT_ITEM,
)
_VALUE_COLUMNS = {
    NDCG: "NDCG@10",
    **{f"captured_value@{k}": f"value in first {k}" for k in CAPTURE_PLACES},
    "gauc": "GAUC (any value)",
}


def report_run(
    data_dir: str | Path, workdir: str | Path, schema: Schema, reference: str
) -> Path:
    """Writes `report.html` of an evaluated run; the data give a summary."""
    workdir, summary = Path(workdir), Path(data_dir) / SUMMARY_FILE
    return write_report(
        workdir / REPORT_FILE,
        read_metrics(workdir / METRICS_FILE),
        title=f"{reference} on {schema.name}",
        schema=schema,
        history=_history(workdir),
        config=read_json(workdir / CONFIG_FILE),
        summary=read_json(summary) if summary.exists() else None,
        reference=reference,
    )


def write_report(
    path: str | Path,
    metrics: Mapping[str, Any],
    title: str = "Ranking report",
    schema: Schema | None = None,
    history: Sequence[Mapping[str, Any]] = (),
    config: Mapping[str, Any] | None = None,
    summary: Mapping[str, Any] | None = None,
    reference: str = "",
) -> Path:
    """Writes the HTML page of a run: one file, no network.

    Args:
        path: the page; appears whole or not at all.
        metrics: as metrics.json holds them: split -> what
            `evaluate_predictions` returned, and perhaps `scenarios` and
            `notes`. "test" is shown first.
        title: heading of the page.
        schema: columns and objectives, shown if given.
        history: see `learning_pictures`.
        config: of model and training, shown as it is; may be nested.
        summary: of the data, shown as it is; may be nested.
        reference: the system the report is about; the first if "".

    Returns:
        The path.
    """
    names = [name for name in metrics if name not in (NOTES, SCENARIOS)]
    if not names:
        raise ValueError("`metrics` holds no split to report on.")
    splits = sorted(names, key=lambda name: (name != "test", name))
    first = metrics[splits[0]]
    reference = reference or next(iter(first))
    objectives = [name for name in by_objective(first) if name != VALUE]
    scenarios = metrics.get(SCENARIOS, {}).get(splits[0], {})
    biased = schema is not None and bool(schema.bias_columns)
    return write_page(
        path,
        "report.html",
        title=title,
        reference=reference,
        highlights=highlights(first, reference, biased),
        gaps=list(_gaps(first, reference)),
        notes=metrics.get(NOTES, []),
        floor=FLOOR,
        ceiling=CEILING,
        splits=[_split(name, metrics[name], reference) for name in splits],
        headline=HEADLINE,
        columns=_COLUMNS,
        value=VALUE,
        value_columns=_VALUE_COLUMNS,
        fusion=first.get(reference, {}).get(VALUE, {}).get(FUSION),
        ndcg=NDCG,
        objectives=objectives,
        scenarios={
            name: {**one, "entries": (one["systems"] or {}).get(reference, {})}
            for name, one in scenarios.items()
        },
        scenario_columns={
            name: label
            for name, label in _COLUMNS.items()
            if name not in _NOT_BY_SCENARIO
        },
        curves=learning_pictures(history, objectives),
        schema=schema,
        config=list(_flat(config or {})),
        summary=list(_flat(summary or {})),
    )


def _history(workdir: Path) -> list[dict[str, Any]]:
    """Rows of the main training, then those of the post-training stage."""
    checkpoints = Checkpoints(workdir / CHECKPOINTS)
    state = checkpoints.read_state(checkpoints.steps()[-1])
    best = state["best_step"]
    base = best if best >= 0 else state["step"]
    stage = read_post_training(workdir, state["step"], base)
    return state["history"] + (stage.history if stage else [])


def _gaps(
    systems: Mapping[str, Mapping[str, Any]], reference: str
) -> Iterator[dict[str, Any]]:
    """Per objective the share of the gap to the oracle that is closed."""
    for objective, entry in systems.get(reference, {}).items():
        closed = entry.get("popularity_to_oracle", {})
        metric = "auc" if "auc" in closed else NDCG
        if closed.get(metric, {}).get("share") is None:
            continue
        yield {
            "objective": objective,
            "metric": _COLUMNS[metric],
            **closed[metric],
            "values": [
                systems[name][objective][metric]
                for name in (FLOOR, reference, CEILING)
            ],
        }


def _split(
    name: str, systems: Mapping[str, Mapping[str, Any]], reference: str
) -> dict[str, Any]:
    """Values of one split for the page."""
    entries = by_objective(systems)
    pictures = [
        interval_picture(entries, "Systems with 95 % intervals"),
        *calibration_pictures(systems, reference),
    ]
    return {
        "name": name,
        "systems": {s: color_of(s, i) for i, s in enumerate(systems)},
        "entries": entries,
        "first": {n: next(iter(e.values())) for n, e in entries.items()},
        "pictures": [picture for picture in pictures if picture is not None],
    }


def _flat(
    values: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, str]]:
    """Nested settings as lines, without the schema, which is shown apart."""
    for key, value in values.items():
        if key == "schema":
            continue
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)


def printed_summary(systems: Mapping[str, Mapping[str, Any]]) -> str:
    """AUC and GAUC of all systems, the ranker first, and how it stands."""
    mine = next(iter(systems.values()))
    objectives = [name for name in mine if name != VALUE]
    rows = {
        f"{_COLUMNS[metric]}, {system}": [
            _cell(found[name].get(metric), metric) for name in objectives
        ]
        for metric in ("auc", "gauc", "gauc_user", "relative_deviance")
        if any(mine[name].get(metric) is not None for name in objectives)
        for system, found in systems.items()
    }
    for when in ("before", "after"):
        errors = [
            _cell(mine[name][CALIBRATION]["all"][when]["calibration_error"])
            for name in objectives
            if CALIBRATION in mine[name]
        ]
        if errors:
            rows[f"ECE {when}"] = errors
    fusion = mine.get(VALUE, {}).get(FUSION)
    if fusion:
        rows["fusion weights"] = [
            _cell(fusion["shares"][n]) for n in objectives
        ]
    width = max(map(len, rows))
    lines = ["".join([" " * width, *(f"{name:>14} " for name in objectives)])]
    for label, texts in rows.items():
        lines.append("".join([f"{label:<{width}}", *texts]))
    if any("!" in line for line in lines):
        lines.append("! below .5: a random order is better")
    for name, entry in mine.items():
        found = (*standing(name, entry), *fusion_line(name, entry))
        lines += [f"{kind}: {text}" for kind, text in found]
    return "\n".join(lines)


def _cell(value: float | None, metric: str = "") -> str:
    """Fifteen places of a printed table; `!` marks a GAUC below .5."""
    text = "-" if value is None else f"{value:.4f}"
    return f"{text:>14}" + ("!" if below_chance(value, metric) else " ")
