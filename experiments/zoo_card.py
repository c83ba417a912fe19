"""The zoo's card: cells to comparisons, a table, a picture and pages."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jd_tf.evaluation.ablations.comparison import paired_difference
from jd_tf.evaluation.metrics_file import nan_to_none
from jd_tf.evaluation.pictures import PALETTE, color_of, new_panels, to_png
from jd_tf.schema import DataError

# Between these on a page: all of the card, and its short form.
MARKERS = tuple(
    (f"<!-- {name}: begin -->", f"<!-- {name}: end -->")
    for name in ("zoo", "zoo in short")
)
# Shown of every objective, and of the first one.
_OF_ALL = {"auc": "AUC"}
_OF_FIRST = {
    "gauc": "GAUC",
    "ndcg@10": "NDCG@10",
    "hr@10": "HR@10",
    "calibration_ratio": "calibration",
}
# Millions of multiply-adds.
_COSTS = {"M / candidate": "per_candidate", "M / request": "per_request"}
# Wider than the range of what is compared would hide it.
_MARGIN = 0.15
_MARKERS = ("o", "s", "^", "D")
_VALUE = "value"

Card = dict[str, Any]


def make_card(
    cells: Sequence[Mapping[str, Any]], models: Sequence[str], facts: Card
) -> Card:
    """Compares the models of every data set.

    Args:
        cells: what `run_cell` returned, in any order.
        models: all of them; the first is what others are compared with.
        facts: of the run, which the card keeps.

    Returns:
        `facts`, and `data`: name -> `objectives`, `seeds` and `models`: name
        -> `metrics` (objective -> metric -> `mean`, and against the first
        model `difference`, `low` and `high`, 95 %), `seconds`, `parameters`,
        `operations`, `latency_ms`; means over seeds.
    """
    found: Card = {}
    for data in dict.fromkeys(cell["data"] for cell in cells):
        rows = {
            name: sorted(
                (c for c in cells if (c["data"], c["model"]) == (data, name)),
                key=lambda cell: cell["seed"],
            )
            for name in models
        }
        first = rows[models[0]]
        found[data] = {
            "objectives": [n for n in first[0]["metrics"] if n != _VALUE],
            "seeds": [cell["seed"] for cell in first],
            "models": {
                name: _row(own, None if own is first else first)
                for name, own in rows.items()
            },
        }
    return {**facts, "first": models[0], "data": nan_to_none(found)}


def add_card(older: Card, newer: Card) -> Card:
    """Returns a card with the data sets of both; those of the newer win.

    Raises:
        DataError: if they compare with different models, or time other
            requests.
    """
    for fact in ("first", "num_candidates"):
        if older[fact] != newer[fact]:
            raise DataError(
                f"--add_to: the card has `{fact}` {older[fact]}, this run "
                f"{newer[fact]}. Write a card of its own."
            )
    kept = {n: d for n, d in older["data"].items() if n not in newer["data"]}
    commands = [card["command"] for card in (older, newer)]
    return {
        **newer,
        "command": "`, `".join(commands),
        "data": {**kept, **newer["data"]},
    }


def _row(own: Sequence[Card], first: Sequence[Card] | None) -> Card:
    metrics: Card = {}
    for objective, values in own[0]["metrics"].items():
        metrics[objective] = {}
        for metric in values:
            numbers = _values(own, objective, metric)
            entry = {"mean": float(np.mean(numbers))}
            if first is not None and "replicates" in own[0]:
                drawn, others = (
                    _replicates(cells, objective, metric)
                    for cells in (own, first)
                )
                if drawn is not None and others is not None:
                    apart = paired_difference(
                        numbers,
                        _values(first, objective, metric),
                        drawn,
                        others,
                    )
                    for name in ("difference", "low", "high"):
                        entry[name] = apart[name]
            metrics[objective][metric] = entry
    return {
        "metrics": metrics,
        "seconds": float(np.mean([cell["seconds"] for cell in own])),
        "parameters": own[0]["parameters"],
        "operations": own[0]["operations"],
        "latency_ms": float(
            np.mean([cell["latency_ms"]["median"] for cell in own])
        ),
    }


def _values(cells: Sequence[Card], objective: str, metric: str) -> np.ndarray:
    numbers = [cell["metrics"][objective].get(metric) for cell in cells]
    return np.array(numbers, float)


def _replicates(
    cells: Sequence[Card], objective: str, metric: str
) -> np.ndarray | None:
    drawn = [c["replicates"].get(objective, {}).get(metric) for c in cells]
    return None if None in drawn else np.array(drawn, float)


def card_markdown(card: Card) -> str:
    """Returns a table for every data set, with the facts of the run."""
    lines = [
        f"Test split; means over seeds; in brackets the difference to "
        f"`{card['first']}` with its 95 % interval (paired bootstrap over "
        "users, and seeds). GAUC, NDCG, HR and calibration (predicted over "
        "observed) are of the first objective; M are millions of multiply-adds "
        "for each candidate and beside them, ms those of one request of "
        f"{card['num_candidates']} candidates in process.",
        f"`{card['command']}`; {card['machine']}; {card['date']}.",
    ]
    for name, data in card["data"].items():
        seeds = ", ".join(map(str, data["seeds"]))
        lines += ["", f"**{name}** (seeds {seeds})", "", *_table(data)]
    return "\n".join(lines)


def card_in_short(card: Card) -> str:
    """Returns a row a model: AUC of the first objective, and latency."""
    sets = card["data"]
    head = ["model"]
    for name, data in sets.items():
        head += [f"{name}, AUC {data['objectives'][0]}", "ms"]
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    models = dict.fromkeys(m for data in sets.values() for m in data["models"])
    for model in models:
        cells = [f"`{model}`"]
        for data in sets.values():
            row = data["models"][model]
            cells.append(_cell(row, data["objectives"][0], "auc"))
            cells.append(f"{row['latency_ms']:.1f}")
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        f"Test split; in brackets the difference to `{card['first']}` with its "
        f"95 % interval; ms of one request of {card['num_candidates']} "
        f"candidates in process. {card['machine']}; {card['date']}.",
    ]
    return "\n".join(lines)


def _table(data: Card) -> list[str]:
    objectives, rows = data["objectives"], data["models"]
    columns = [
        (objective, metric, f"{title} {objective}")
        for metric, title in _OF_ALL.items()
        for objective in objectives
    ]
    columns += [(objectives[0], m, title) for m, title in _OF_FIRST.items()]
    columns = [
        column
        for column in columns
        if any(_known(row, *column[:2]) for row in rows.values())
    ]
    titles = [title for *_, title in columns]
    head = ["model", *titles, "training s", "parameters", *_COSTS, "ms"]
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for name, row in rows.items():
        found = [_cell(row, *column[:2]) for column in columns]
        found += [f"{row['seconds']:,.0f}", f"{row['parameters']:,}"]
        found += [f"{row['operations'][n] / 1e6:.2f}" for n in _COSTS.values()]
        found.append(f"{row['latency_ms']:.1f}")
        lines.append(f"| {' | '.join([f'`{name}`', *found])} |")
    return lines


def _known(row: Card, objective: str, metric: str) -> bool:
    entry = row["metrics"][objective].get(metric, {})
    return entry.get("mean") is not None


def _cell(row: Card, objective: str, metric: str) -> str:
    if not _known(row, objective, metric):
        return "-"
    entry = row["metrics"][objective][metric]
    text = f"{entry['mean']:.4f}"
    low, high = entry.get("low"), entry.get("high")
    if low is None or high is None:
        return text
    reach = (high - low) / 2
    return f"{text} ({entry['difference']:+.4f} ± {reach:.4f})"


def card_picture(card: Card) -> bytes:
    """Draws quality (mean AUC of the objectives) against latency, as PNG."""
    figure, panels = new_panels(list(card["data"]), height=3.4, columns=2)
    for name, axes in panels.items():
        data = card["data"][name]
        for place, (model, row) in enumerate(data["models"].items()):
            known = [o for o in data["objectives"] if _known(row, o, "auc")]
            if not known:
                continue
            aucs = [row["metrics"][o]["auc"]["mean"] for o in known]
            x, y = row["latency_ms"], float(np.mean(aucs))
            marker = _MARKERS[place // len(PALETTE) % len(_MARKERS)]
            color = color_of(model, place)
            axes.plot(x, y, marker, color=color, markersize=5, label=model)
        axes.margins(_MARGIN)
    # Names beside the points would lie on one another.
    marks: dict[str, Any] = {}
    for axes in panels.values():
        handles, names = axes.get_legend_handles_labels()
        marks |= zip(names, handles, strict=True)
    figure.legend(
        marks.values(),
        marks.keys(),
        loc="outside right upper",
        fontsize=7,
        frameon=False,
    )
    figure.supxlabel(
        f"ms for one request of {card['num_candidates']} candidates",
        fontsize=9,
    )
    figure.supylabel("mean AUC of the objectives", fontsize=9)
    return to_png(figure)


def write_between_markers(path: Path, texts: Sequence[str]) -> None:
    """Replaces what stands between `MARKERS` on a page.

    Args:
        path: of the page.
        texts: for each of `MARKERS`, the new lines; a page has some of them.

    Raises:
        DataError: if the page has none of them, or one that is not whole.
    """
    page = path.read_text(encoding="utf-8") if path.is_file() else ""
    found = False
    for (first, last), text in zip(MARKERS, texts, strict=True):
        before, begin, rest = page.partition(first)
        _, end, after = rest.partition(last)
        if not begin and last not in before:
            continue
        if not end or first in after or last in (before + after):
            raise DataError(
                f"{path}: must have one line `{first}` and below it one "
                f"`{last}`."
            )
        page, found = f"{before}{first}\n\n{text}\n\n{last}{after}", True
    if not found:
        named = " or ".join(f"`{first}`" for first, _ in MARKERS)
        raise DataError(f"{path}: must have a line {named}.")
    path.write_text(page, encoding="utf-8")
