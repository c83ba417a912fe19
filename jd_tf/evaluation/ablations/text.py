"""An ablation as Markdown and as CSV."""

import csv
import io
import math
from collections.abc import Iterator, Sequence
from typing import Any

from jd_tf.evaluation.ablations.judged_metrics import METRICS
from jd_tf.evaluation.ablations.table import Cell, key_of, marks_of
from jd_tf.evaluation.objective_metrics import NDCG
from jd_tf.evaluation.pages import UNDEFINED

LABELS = {
    "auc": "AUC",
    "gauc": "GAUC per request",
    "gauc_user": "GAUC per user",
    NDCG: "NDCG@10",
}
METHOD = (
    "A cell shows the mean over the seeds ± their standard deviation, then the "
    "difference to the row it is compared with and, in brackets, that "
    "difference in standard errors. Both rows of a difference have the same "
    "seeds and are judged on the same requests: the standard error joins what "
    "other users would change (paired bootstrap of the mean difference over "
    "whole users, or requests where users are unknown) and what other seeds "
    "would change (spread of the paired differences over the seeds). "
    "* : p < 0.05 by Student's t with Welch and Satterthwaite's degrees of "
    "freedom; ** : p < 0.05 divided by the number of differences in the table. "
    "With one seed the standard error knows nothing of how training varies."
)


def number(value: float, digits: int = 4, sign: bool = False) -> str:
    """A number for a table; a dash where it is undefined."""
    if math.isnan(value):
        return UNDEFINED
    return f"{value:{'+' if sign else ''}.{digits}f}"


def difference_text(cell: Cell, marks: dict[tuple[str, ...], str]) -> str:
    """`+0.0031 (2.5) *`, or nothing where there is no difference."""
    if cell.paired is None or math.isnan(cell.paired.difference):
        return ""
    distance = number(cell.paired.standard_errors, 1)
    text = f"{number(cell.paired.difference, sign=True)} ({distance})"
    return f"{text} {marks.get(key_of(cell), '')}".strip()


def value_text(cell: Cell) -> str:
    """`0.6512 ± 0.0021`."""
    spread = number(cell.spread)
    value = number(cell.mean)
    return value if spread == UNDEFINED else f"{value} ± {spread}"


def markdown(
    title: str,
    cells: Sequence[Cell],
    pairs: Sequence[Cell],
    facts: Sequence[tuple[str, str]],
    notes: Sequence[str],
) -> str:
    """The whole report as Markdown.

    Args:
        title: heading.
        cells: of the table.
        pairs: of the further comparisons.
        facts: what was done, name and value.
        notes: sentences of warning.
    """
    lines = [f"# {title}", ""]
    lines += [f"- {name}: {value}" for name, value in facts]
    lines += [f"- Note: {note}" for note in notes]
    lines += ["", METHOD]
    marks = marks_of([*cells, *pairs])
    for metric, table in tables(cells):
        lines += ["", f"## {LABELS[metric]}", ""]
        lines += _table(table, marks, value_too=True)
        further = dict(tables(pairs)).get(metric)
        if further:
            lines += ["", *_table(further, marks, value_too=False)]
    return "\n".join(lines) + "\n"


def tables(cells: Sequence[Cell]) -> Iterator[tuple[str, list[Cell]]]:
    """Cells by metric, those left out that are undefined everywhere."""
    for metric in ("gauc", *(m for m in METRICS if m != "gauc")):
        table = [cell for cell in cells if cell.metric == metric]
        if any(not math.isnan(cell.mean) for cell in table):
            yield metric, table


def columns_of(table: Sequence[Cell]) -> list[tuple[str, str]]:
    """(kind, objective) of a table's columns, undefined ones left out."""
    return list(
        dict.fromkeys(
            (cell.kind, cell.objective)
            for cell in table
            if not math.isnan(cell.mean)
        )
    )


def column_name(kind: str, objective: str) -> str:
    """Heading of a column."""
    return objective if kind == "all" else f"{objective}, {kind} items"


def to_csv(cells: Sequence[Cell], marks: dict[tuple[str, ...], str]) -> bytes:
    """One line a cell, with all that is known of its difference."""
    lines = [_csv_line(cell, marks) for cell in cells]
    names = list(lines[0]) if lines else ["row"]
    return _csv(names, lines)


def values_csv(cells: Sequence[Cell]) -> bytes:
    """One line a run: row, seed, kind, objective, metric, value."""
    names = ["row", "seed", "kind", "objective", "metric", "value"]
    lines = [
        dict(
            zip(
                names,
                (cell.row, seed, cell.kind, cell.objective, cell.metric, value),
                strict=True,
            )
        )
        for cell in cells
        for seed, value in zip(cell.seeds, cell.values, strict=True)
    ]
    return _csv(names, lines)


def _table(
    table: Sequence[Cell], marks: dict[tuple[str, ...], str], value_too: bool
) -> Iterator[str]:
    columns = columns_of(table)
    heads = [_escape(column_name(*column)) for column in columns]
    yield "| " + " | ".join(["row", "against", *heads]) + " |"
    yield "| --- | --- |" + " ---: |" * len(columns)
    by_place = {
        (cell.row, cell.against, cell.kind, cell.objective): cell
        for cell in table
    }
    for row, against in dict.fromkeys((c.row, c.against) for c in table):
        texts = []
        for column in columns:
            cell = by_place[(row, against, *column)]
            parts = [value_text(cell)] if value_too else []
            parts.append(difference_text(cell, marks).replace("*", r"\*"))
            texts.append("<br>".join(part for part in parts if part))
        names = [_escape(row), _escape(against) or UNDEFINED]
        yield "| " + " | ".join([*names, *texts]) + " |"


def _csv_line(cell: Cell, marks: dict[tuple[str, ...], str]) -> dict[str, Any]:
    line: dict[str, Any] = {
        "row": cell.row,
        "against": cell.against,
        "kind": cell.kind,
        "objective": cell.objective,
        "metric": cell.metric,
        "seeds": " ".join(map(str, cell.seeds)),
        "mean": cell.mean,
        "spread": cell.spread,
        "num_impressions": cell.num_impressions,
        "num_positives": cell.num_positives,
    }
    paired = cell.paired
    low, high = paired.interval if paired else ("", "")
    return line | {
        "difference": paired.difference if paired else "",
        "standard_error": paired.standard_error if paired else "",
        "resampling_error": paired.resampling_error if paired else "",
        "seed_error": paired.seed_error if paired else "",
        "standard_errors": paired.standard_errors if paired else "",
        "p_value": paired.p_value if paired else "",
        "low": low,
        "high": high,
        "significant": marks.get(key_of(cell), ""),
    }


def _csv(names: Sequence[str], lines: Sequence[dict[str, Any]]) -> bytes:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, names, lineterminator="\n")
    writer.writeheader()
    for line in lines:
        writer.writerow(
            {
                name: "" if value != value else value
                for name, value in line.items()
            }
        )
    return buffer.getvalue().encode("utf-8")


def _escape(text: str) -> str:
    return text.replace("|", r"\|")
