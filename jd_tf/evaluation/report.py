"""One page that says how good a run is, and where it is not."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jd_tf.evaluation.calibration_comparison import calibration_pictures
from jd_tf.evaluation.evaluate import VALUE
from jd_tf.evaluation.findings import Finding, find
from jd_tf.evaluation.learning_pictures import learning_pictures
from jd_tf.evaluation.metric_pictures import (
    interval_picture,
    reliability_picture,
)
from jd_tf.evaluation.objective_metrics import CAPTURE_PLACES, NDCG
from jd_tf.evaluation.pages import write_page
from jd_tf.evaluation.pictures import color_of
from jd_tf.evaluation.reasons import reasons
from jd_tf.evaluation.standing import CEILING, FLOOR
from jd_tf.schema import Schema

_ORDER_COLUMNS = {
    "auc": "AUC",
    "gauc": "GAUC per request",
    "gauc_user": "GAUC per user",
    NDCG: "NDCG@10",
}
_PROBABILITY_COLUMNS = {
    "log_loss": "log loss (nats)",
    "normalized_entropy": "normalised entropy",
    "calibration_error": "calibration error",
    "calibration_ratio": "predicted / observed",
}
_VALUE_COLUMNS = {
    NDCG: "NDCG@10",
    **{f"captured_value@{k}": f"value in first {k}" for k in CAPTURE_PLACES},
    "gauc": "GAUC (any value)",
}
_SCENARIO_COLUMNS = {
    "auc": "AUC",
    "gauc": "GAUC",
    NDCG: "NDCG@10",
    "calibration_error": "calibration error",
    "calibration_ratio": "predicted / observed",
}
_MAIN_CURVES = ("loss ", "auc ")


def write_report(
    path: str | Path,
    metrics: Mapping[str, Mapping[str, Mapping[str, Any]]],
    title: str = "Ranking report",
    schema: Schema | None = None,
    history: Sequence[Mapping[str, Any]] = (),
    config: Mapping[str, Any] | None = None,
    summary: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
    num_train_requests: int | None = None,
    reference: str = "jd_ranker",
    scenarios: Mapping[str, Mapping[str, Mapping[str, Any]]] | None = None,
) -> Path:
    """Writes the HTML page of a run: one file, no network.

    Args:
        path: the page; appears whole or not at all.
        metrics: split -> what `evaluate_predictions` returned (or what
            metrics.json holds). "test" is shown first.
        title: heading of the page.
        schema: columns and objectives, shown if given.
        history: see `learning_pictures`.
        config: of model and training, shown as it is; may be nested.
        summary: of the data, shown as it is; may be nested.
        notes: sentences of the caller's own to put among the findings.
        num_train_requests: requests learned from, if known.
        reference: the system the report is about.
        scenarios: split -> what `evaluate_scenarios` returned.

    Returns:
        The path.
    """
    if not metrics:
        raise ValueError("`metrics` holds no split to report on.")
    splits = sorted(metrics, key=lambda name: (name != "test", name))
    first = metrics[splits[0]]
    biased = schema is not None and bool(schema.bias_columns)
    findings = find(first, reference, biased)
    losses = sum(finding.kind == "loses" for finding in findings)
    if losses:
        why = reasons(first, history, num_train_requests)
        findings[losses:losses] = why
    findings += [Finding("note", note) for note in notes]
    objectives = [name for name in _objectives(first) if name != VALUE]
    pictures = learning_pictures(history, objectives)
    return write_page(
        path,
        "report.html",
        title=title,
        reference=reference,
        findings=findings,
        standing=list(_standing(first, reference)),
        floor=FLOOR,
        ceiling=CEILING,
        splits=[_split(name, metrics[name], reference) for name in splits],
        curves=[p for p in pictures if p.title.startswith(_MAIN_CURVES)],
        more_curves=[
            p for p in pictures if not p.title.startswith(_MAIN_CURVES)
        ],
        rates=[_rates(name, metrics[name]) for name in splits],
        objectives=objectives,
        scenarios=list(
            _scenarios((scenarios or {}).get(splits[0], {}), reference)
        ),
        scenario_columns=_SCENARIO_COLUMNS,
        schema=schema,
        config=list(_flat(config or {})),
        summary=list(_flat(summary or {})),
    )


def _objectives(systems: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return list(next(iter(systems.values()), {}))


def _standing(
    systems: Mapping[str, Mapping[str, Any]], reference: str
) -> Iterator[dict[str, Any]]:
    """Per objective how far the reference is from floor to ceiling."""
    for objective, entry in systems.get(reference, {}).items():
        ways = entry.get("popularity_to_oracle", {})
        metric = "auc" if "auc" in ways else NDCG
        way = ways.get(metric)
        if way is None or way["share"] is None:
            continue
        yield {
            "objective": objective,
            "metric": _ORDER_COLUMNS[metric],
            "share": way["share"],
            "interval": way["interval"],
            "width": round(100 * min(max(way["share"], 0.0), 1.0), 1),
            **{
                name: systems[name][objective][metric]
                for name in (FLOOR, CEILING)
            },
            "value": entry[metric],
        }


def _scenarios(
    found: Mapping[str, Mapping[str, Any]], reference: str
) -> Iterator[dict[str, Any]]:
    """What the page shows of every scenario, those without requests too."""
    for scenario, entry in found.items():
        systems = entry["systems"] or {}
        yield {
            "name": scenario,
            "requests": entry["num_requests"],
            "note": entry["note"],
            "values": entry["values"],
            "entries": systems.get(reference, {}),
            "pictures": [
                picture
                for picture in (
                    interval_picture(
                        {s: e[VALUE] for s, e in systems.items()},
                        NDCG,
                        f"{scenario}: value-NDCG@10",
                    ),
                )
                if picture is not None
            ],
        }


def _split(
    name: str, systems: Mapping[str, Mapping[str, Any]], reference: str
) -> dict[str, Any]:
    """What the page shows of one split."""
    blocks = []
    for objective in _objectives(systems):
        entries = {
            system: found[objective] for system, found in systems.items()
        }
        order = _VALUE_COLUMNS if objective == VALUE else _ORDER_COLUMNS
        main = "auc" if "auc" in order else NDCG
        pictures = [
            interval_picture(entries, main, f"{order[main]} of {objective}")
        ]
        tables = [order]
        if objective != VALUE:
            pictures.append(reliability_picture(entries, objective))
            curves = entries.get(reference, {}).get("calibration")
            if curves:
                label = f"{objective}, before and after the curves"
                pictures += calibration_pictures({label: curves})
            tables.append(_PROBABILITY_COLUMNS)
        blocks.append(
            {
                "objective": objective,
                "tables": tables,
                "entries": entries,
                "pictures": [p for p in pictures if p is not None],
                "first": next(iter(entries.values())),
            }
        )
    return {
        "name": name,
        "systems": {s: color_of(s, i) for i, s in enumerate(systems)},
        "blocks": blocks,
        "headline": "auc",
        "headline_value": NDCG,
        "value": VALUE,
    }


def _rates(
    name: str, systems: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Requests, impressions and label rates of a split."""
    found = next(iter(systems.values()), {})
    requests = {
        entry["gauc_requests"] + entry["gauc_requests_left_out"]
        for entry in found.values()
        if "gauc_requests" in entry
    }
    return {
        "split": name,
        "requests": max(requests, default=None),
        "impressions": found.get(VALUE, {}).get("num_impressions"),
        "objectives": {
            objective: {
                "positives": entry["num_positives"],
                "impressions": entry["num_impressions"],
                "rate": entry["num_positives"] / entry["num_impressions"]
                if entry["num_impressions"]
                else None,
            }
            for objective, entry in found.items()
            if objective != VALUE
        },
    }


def _flat(
    values: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, str]]:
    """Nested settings as lines."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)
