"""The files an ablation leaves: Markdown, CSV, a picture and a page."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from jd_tf.data.files import write_whole
from jd_tf.evaluation.ablations.pictures import (
    difference_pictures,
    overview_png,
)
from jd_tf.evaluation.ablations.rows import Row
from jd_tf.evaluation.ablations.table import (
    Cell,
    Results,
    all_pairs,
    check_comparable,
    key_of,
    marks_of,
    pair_cells,
    table_cells,
)
from jd_tf.evaluation.ablations.text import (
    LABELS,
    METHOD,
    column_name,
    columns_of,
    difference_text,
    markdown,
    tables,
    to_csv,
    value_text,
    values_csv,
)
from jd_tf.evaluation.pages import Highlight as Finding
from jd_tf.evaluation.pages import write_page

MARKDOWN_FILE = "ablation.md"
TABLE_FILE = "ablation.csv"
VALUES_FILE = "values.csv"
PAIRS_FILE = "pairs.csv"
PICTURE_FILE = "ablation.png"
PAGE_FILE = "ablation.html"


def write_ablation_report(
    output_dir: str | Path,
    title: str,
    rows: Sequence[Row],
    seeds: Sequence[int],
    results: Results,
    pairs: Sequence[tuple[str, str]] = (),
    facts: Sequence[tuple[str, str]] = (),
    notes: Sequence[str] = (),
) -> Path:
    """Writes what the finished runs of an ablation say.

    `ablation.md` holds the tables, `ablation.csv` the same with every part of
    the standard errors, `values.csv` the value of every run, `pairs.csv` all
    rows against all earlier ones, `ablation.png` the differences in the first
    metric (GAUC, where it is defined), `ablation.html` all of it for people.

    Args:
        output_dir: gets the files, each whole or not at all.
        title: heading.
        rows: in the order of the table; those without a run are left out and
            named.
        seeds: those asked for.
        results: of the finished runs.
        pairs: further comparisons to show, names of rows; those of which one
            has no run are left out.
        facts: what was done, name and value.
        notes: sentences of warning.

    Returns:
        The page.

    Raises:
        DataError: if the runs were not judged on the same requests.
    """
    if not results:
        raise ValueError("there is no finished run to report on.")
    check_comparable(results)
    folder = Path(output_dir)
    cells = table_cells(rows, seeds, results)
    further = pair_cells(pairs, seeds, results)
    facts = [*facts, *_counts(results)]
    notes = [
        *notes,
        *_unfinished(rows, seeds, results),
        *_few_seeds(seeds),
        *_empty_kinds(results),
    ]
    marks = marks_of([*cells, *further])
    text = markdown(title, cells, further, facts, notes)
    write_whole(folder / MARKDOWN_FILE, text.encode("utf-8"))
    write_whole(folder / TABLE_FILE, to_csv(cells, marks))
    write_whole(folder / VALUES_FILE, values_csv(cells))
    every = pair_cells(all_pairs(rows), seeds, results)
    write_whole(folder / PAIRS_FILE, to_csv(every, marks_of(every)))
    by_metric = dict(tables([*cells, *further]))
    main = next(iter(by_metric), None)
    if main is not None:
        png = overview_png(by_metric[main], marks)
        if png is not None:
            write_whole(folder / PICTURE_FILE, png)
    shown = dict(tables(cells))
    return write_page(
        folder / PAGE_FILE,
        "ablation.html",
        title=title,
        facts=facts,
        method=METHOD.replace("* :", "*:").replace("** :", "**:"),
        findings=[
            *(Finding("warning", note) for note in notes),
            *_findings(by_metric.get(main, []), marks),
        ],
        main=main and LABELS[main],
        pictures=difference_pictures(by_metric[main], marks) if main else [],
        tables=[
            {
                "title": LABELS[metric],
                "columns": [column_name(*c) for c in columns_of(table)],
                "lines": list(_lines(table, marks)),
                "pairs": list(_lines(_of(further, table), marks)),
            }
            for metric, table in shown.items()
        ],
    )


def _of(cells: Sequence[Cell], table: Sequence[Cell]) -> list[Cell]:
    """The cells of a table's metric and columns."""
    columns = columns_of(table)
    return [
        cell
        for cell in cells
        if cell.metric == table[0].metric
        and (cell.kind, cell.objective) in columns
    ]


def _lines(
    table: Sequence[Cell], marks: dict[tuple[str, ...], str]
) -> Iterator[dict]:
    """What the page shows of every row."""
    columns = columns_of(table)
    for row, against in dict.fromkeys((c.row, c.against) for c in table):
        mine = {
            (cell.kind, cell.objective): cell
            for cell in table
            if (cell.row, cell.against) == (row, against)
        }
        yield {
            "row": row,
            "against": against,
            "cells": [
                {
                    "value": value_text(mine[column]),
                    "difference": difference_text(mine[column], marks),
                    "kind": _kind(mine[column], marks),
                }
                for column in columns
            ],
        }


def _kind(cell: Cell, marks: dict[tuple[str, ...], str]) -> str:
    if not marks.get(key_of(cell)):
        return "unsure"
    return "better" if cell.paired.difference > 0 else "worse"


def _findings(
    table: Sequence[Cell], marks: dict[tuple[str, ...], str]
) -> Iterator[Finding]:
    """A sentence on every difference that is no accident."""
    for cell in table:
        kind = _kind(cell, marks)
        if kind == "unsure":
            continue
        low, high = cell.paired.interval
        yield Finding(
            "leads" if kind == "better" else "loses",
            f"{cell.row} against {cell.against}: {LABELS[cell.metric]} of "
            f"{column_name(cell.kind, cell.objective)} "
            f"{difference_text(cell, marks)}, 95 % interval {low:+.4f} to "
            f"{high:+.4f}.",
        )
    unsure = {
        f"{cell.row} against {cell.against}"
        for cell in table
        if cell.paired is not None and not math.isnan(cell.paired.difference)
    } - {
        f"{cell.row} against {cell.against}"
        for cell in table
        if marks.get(key_of(cell))
    }
    if unsure:
        yield Finding(
            "note",
            f"No difference beyond chance in {LABELS[table[0].metric]}: "
            f"{'; '.join(sorted(unsure))}.",
        )


def _unfinished(
    rows: Sequence[Row], seeds: Sequence[int], results: Results
) -> Iterator[str]:
    missing = [
        f"{row.name} with seed {seed}"
        for seed in seeds
        for row in rows
        if (row.name, seed) not in results
    ]
    if missing:
        yield f"Not finished, and not in the tables: {'; '.join(missing)}."


def _few_seeds(seeds: Sequence[int]) -> Iterator[str]:
    if len(seeds) == 1:
        yield (
            "One seed says nothing of how training varies: stars then mean "
            "that these very weights differ, not that the switch helps."
        )


def _counts(results: Results) -> Iterator[tuple[str, str]]:
    """How much there is to judge, by kind of candidates."""
    for kind, objectives in next(iter(results.values()))["metrics"].items():
        yield (
            f"impressions and positives, {kind} items",
            ", ".join(
                f"{name} {found['num_impressions']:,} and "
                f"{found['num_positives']:,}"
                for name, found in objectives.items()
            ),
        )


def _empty_kinds(results: Results) -> Iterator[str]:
    for kind, objectives in next(iter(results.values()))["metrics"].items():
        if not any(found["num_impressions"] for found in objectives.values()):
            yield f"No candidate was of the kind `{kind}`: it has no column."
