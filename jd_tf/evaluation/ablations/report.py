"""Reports an ablation as CSV, a picture and a page."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
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
from jd_tf.evaluation.objective_metrics import NDCG
from jd_tf.evaluation.pages import UNDEFINED, write_page
from jd_tf.evaluation.pictures import Picture, tidy, to_png

LABELS = {
    "auc": "AUC",
    "gauc": "GAUC per request",
    "gauc_user": "GAUC per user",
    NDCG: "NDCG@10",
}
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
        rows: in the order of the table; those without a run are left out and
            named.
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
        "values.csv": runs.iloc[:, :6],
    }.items():
        write_whole(folder / name, frame.to_csv(index=False).encode())
    facts, notes = [*facts, *_counts(table)], [*notes]
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
        if not part["num_impressions"].any():
            notes.append(
                f"No candidate was of the kind `{kind}`: it has no column."
            )
    defined = marked.dropna(subset="difference")
    main = [m for m in METRICS if m in set(defined["metric"])][:1]
    defined = defined[defined["metric"].isin(main)]
    picture = None
    if main:
        picture = _picture(defined, f"difference in {LABELS[main[0]]}")
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


def _counts(table: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """Yields the size of each kind of candidates, by objective."""
    for kind, part in table.groupby("kind", sort=False):
        first = part.drop_duplicates("objective")
        yield (
            f"impressions and positives, {kind} items",
            ", ".join(
                f"{one.objective} {one.num_impressions:,} and "
                f"{one.num_positives:,}"
                for one in _lines_of(first)
            ),
        )


def _tables(
    table: pd.DataFrame, further: pd.DataFrame
) -> Iterator[dict[str, Any]]:
    """Yields a table a metric, without columns that are undefined."""
    for metric in METRICS:
        parts = []
        for frame in (table, further):
            part = frame[frame["metric"] == metric].dropna(subset="mean")
            part = part.assign(
                cell=[_cell(one) for one in _lines_of(part)],
                column=[_column(one) for one in _lines_of(part)],
            )
            parts.append(
                part.pivot_table(
                    index=["row", "against"],
                    columns="column",
                    values="cell",
                    aggfunc="first",
                    sort=False,
                )
            )
        shown, pairs = parts
        if len(shown):
            yield {
                "title": LABELS[metric],
                "columns": list(shown.columns),
                "lines": _lines(shown),
                "pairs": _lines(pairs.reindex(columns=shown.columns)),
            }


def _lines(pivoted: pd.DataFrame) -> list[tuple[str, str, list[dict]]]:
    undefined = {"value": UNDEFINED, "difference": "", "kind": "level"}
    return [
        (*names, [c if isinstance(c, dict) else undefined for c in cells])
        for names, cells in zip(pivoted.index, pivoted.values, strict=True)
    ]


def _lines_of(table: pd.DataFrame) -> list[Any]:
    return list(table.itertuples())


def _cell(one: Any) -> Any:
    value = f"{one.mean:.4f}"
    if not math.isnan(one.spread):
        value += f" ± {one.spread:.4f}"
    return {"value": value, "difference": _difference(one), "kind": _kind(one)}


def _difference(one: Any) -> str:
    """Returns `+0.0031 (2.5) *`, or nothing where there is no difference."""
    if math.isnan(one.difference):
        return ""
    distance = one.standard_errors
    distance = UNDEFINED if math.isnan(distance) else f"{distance:.1f}"
    return f"{one.difference:+.4f} ({distance}) {one.significant}".strip()


def _column(one: Any) -> str:
    kind = "" if one.kind == ALL else f", {one.kind} items"
    return f"{one.objective}{kind}"


def _kind(one: Any) -> str:
    if not one.significant:
        return "level"
    return "leads" if one.difference > 0 else "loses"


def _picture(defined: pd.DataFrame, title: str) -> Picture:
    """Draws a panel of differences for each objective and kind."""
    panels = defined.groupby(["kind", "objective"], sort=False)
    across = min(len(panels), _PANELS_ACROSS)
    down = math.ceil(len(panels) / across)
    height = 1.3 + 0.34 * panels.size().max()
    figure = Figure(
        figsize=(2.2 + 2.6 * across, down * height), layout="constrained"
    )
    grid = figure.subplots(down, across, squeeze=False).ravel()
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    for place, (axes, (_, part)) in enumerate(zip(grid, panels, strict=False)):
        tidy(axes)
        axes.axvline(0.0, color="#444", linewidth=0.8)
        for y, one in enumerate(_lines_of(part)):
            reach = (one.high - one.low) / 2
            color = _COLORS[_kind(one)]
            axes.errorbar(one.difference, y, xerr=reach, fmt="o", color=color)
        labels = [f"{o.row}\nagainst {o.against}" for o in _lines_of(part)]
        labels = [""] * len(part) if place % across else labels
        axes.set_yticks(range(len(part)), labels, fontsize=7)
        axes.set_ylim(len(part) - 0.4, -0.6)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.set_title(_column(_lines_of(part)[0]), fontsize=9)
    figure.supxlabel(f"{title} (bar: 95 % interval)", fontsize=9)
    return Picture(title, "bars of the tables below", to_png(figure))
