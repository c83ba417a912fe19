"""Reports an ablation as CSV, a picture and a page."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.ticker import MaxNLocator

from jd_tf.data.files import write_whole
from jd_tf.evaluation.ablations.comparison import (
    add_significance,
    compare,
    runs_table,
    table_pairs,
)
from jd_tf.evaluation.ablations.judge import ALL, METRICS
from jd_tf.evaluation.ablations.rows import Row
from jd_tf.evaluation.ablations.runs import Results
from jd_tf.evaluation.objective_metrics import HEADLINE
from jd_tf.evaluation.pages import UNDEFINED, write_page
from jd_tf.evaluation.pictures import Picture, new_panels, to_png

_COLORS = {"leads": "#2a7f62", "loses": "#c1121f", "level": "#6c757d"}
_PANELS_ACROSS = 4


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
    """Writes the tables of the finished runs of an ablation.

    `ablation.csv` holds every row's means and differences, `pairs.csv` all
    rows against all earlier ones, `values.csv` the value of every run,
    `ablation.png` the differences in the first defined metric (GAUC),
    `ablation.html` all of it for people.

    Args:
        output_dir: gets the files, each whole or not at all.
        title: heading.
        rows: in the order of the table; those without a run are named.
        seeds: of the rows.
        results: of the finished runs.
        pairs: further comparisons to show, names of rows.
        facts: name and value of each setting.
        notes: sentences of warning.

    Returns:
        The page.

    Raises:
        DataError: if the runs were not judged on the same requests.
    """
    folder = Path(output_dir)
    runs = runs_table(rows, seeds, results)
    table = compare(runs, table_pairs(rows))
    further = compare(runs, pairs).dropna(subset="difference")
    marked = add_significance(pd.concat([table, further], ignore_index=True))
    table, further = marked[: len(table)], marked[len(table) :]
    names = [row.name for row in rows]
    every = [(one, other) for i, one in enumerate(names) for other in names[:i]]
    all_pairs = compare(runs, every).dropna(subset="difference")
    for name, frame in {
        "ablation.csv": table,
        "pairs.csv": add_significance(all_pairs),
        "values.csv": runs.loc[:, :"value"],
    }.items():
        write_whole(folder / name, frame.to_csv(index=False).encode())
    facts, notes = [*facts], [*notes]
    missing = [
        f"{row.name} with seed {seed}"
        for seed in seeds
        for row in rows
        if (row.name, seed) not in results
    ]
    if missing:
        listed = "; ".join(missing)
        notes.append(f"Not finished, and not in the tables: {listed}.")
    if len(seeds) == 1:
        notes.append(
            "One seed does not show how training varies: stars then mean "
            "that these very weights differ, not that the switch helps."
        )
    for kind, part in table.groupby("kind", sort=False):
        counts = ", ".join(
            f"{one.objective} {one.num_impressions:,} and {one.num_positives:,}"
            for one in _lines_of(part.drop_duplicates("objective"))
        )
        facts.append((f"impressions and positives, {kind} items", counts))
        if not part["num_impressions"].any():
            notes.append(
                f"No candidate was of the kind `{kind}`: it has no column."
            )
    defined = marked.dropna(subset="difference")
    main = [m for m in METRICS if m in set(defined["metric"])][:1]
    defined = defined[defined["metric"].isin(main)]
    picture = None
    if main:
        picture = _picture(defined, f"difference in {HEADLINE[main[0]]}")
        write_whole(folder / "ablation.png", picture.png)
    return write_page(
        folder / "ablation.html",
        "ablation.html",
        title=title,
        facts=facts,
        notes=notes,
        picture=picture,
        colors=_COLORS,
        tables=list(_tables(table, further)),
    )


def _tables(
    table: pd.DataFrame, further: pd.DataFrame
) -> Iterator[dict[str, Any]]:
    """Yields a table a metric, without columns that are undefined."""
    for metric in METRICS:
        shown, pairs = _cells(table, metric), _cells(further, metric)
        if len(shown):
            yield {
                "title": HEADLINE[metric],
                "columns": list(shown.columns),
                "lines": _lines(shown),
                "pairs": _lines(pairs.reindex(columns=shown.columns)),
            }


def _cells(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Returns the cells of a metric, rows by objectives and kinds."""
    part = table[table["metric"] == metric].dropna(subset="mean")
    lines = _lines_of(part)
    return part.assign(
        cell=[_cell(one) for one in lines],
        column=[_column(one) for one in lines],
    ).pivot_table(
        index=["row", "against"],
        columns="column",
        values="cell",
        aggfunc="first",
        sort=False,
    )


def _lines(cells: pd.DataFrame) -> list[tuple[str, str, list[dict]]]:
    undefined = {"value": UNDEFINED, "difference": "", "kind": "level"}
    return [
        (*names, [c if isinstance(c, dict) else undefined for c in line])
        for names, line in zip(cells.index, cells.values, strict=True)
    ]


def _lines_of(table: pd.DataFrame) -> list[Any]:
    return list(table.itertuples())


def _cell(one: Any) -> Any:
    value = f"{one.mean:.4f}"
    if not math.isnan(one.spread):
        value += f" ± {one.spread:.4f}"
    difference, distance = "", UNDEFINED
    if not math.isnan(one.standard_errors):
        distance = f"{one.standard_errors:.1f}"
    if not math.isnan(one.difference):  # `+0.0031 (2.5) *`
        difference = f"{one.difference:+.4f} ({distance}) {one.significant}"
    difference = difference.strip()
    return {"value": value, "difference": difference, "kind": _kind(one)}


def _column(one: Any) -> str:
    kind = "" if one.kind == ALL else f", {one.kind} items"
    return f"{one.objective}{kind}"


def _kind(one: Any) -> str:
    if not one.significant:
        return "level"
    return "leads" if one.difference > 0 else "loses"


def _picture(defined: pd.DataFrame, title: str) -> Picture:
    """Draws a panel of differences for each objective and kind."""
    panels: dict[str, list[Any]] = {}
    for _, part in defined.groupby(["kind", "objective"], sort=False):
        lines = _lines_of(part)
        panels[_column(lines[0])] = lines
    height = 1.3 + 0.34 * max(map(len, panels.values()))
    figure, axes_of = new_panels(list(panels), height, _PANELS_ACROSS)
    for place, (name, lines) in enumerate(panels.items()):
        axes = axes_of[name]
        axes.axvline(0.0, color="#444", linewidth=0.8)
        for y, one in enumerate(lines):
            reach, color = (one.high - one.low) / 2, _COLORS[_kind(one)]
            axes.errorbar(one.difference, y, xerr=reach, fmt="o", color=color)
        labels = [f"{one.row}\nagainst {one.against}" for one in lines]
        if place % _PANELS_ACROSS:
            labels = [""] * len(lines)
        axes.set_yticks(range(len(lines)), labels, fontsize=7)
        axes.set_ylim(len(lines) - 0.4, -0.6)
        axes.xaxis.set_major_locator(MaxNLocator(4))
    figure.supxlabel(f"{title} (bar: 95 % interval)", fontsize=9)
    return Picture(title, "bars of the tables below", to_png(figure))
