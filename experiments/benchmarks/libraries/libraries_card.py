"""Our models beside another library's: results to a card and its tables."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.benchmarks.libraries.library_contest import OURS, THEIRS
from experiments.zoo_card import make_card
from jd_tf.schema import DataError

_METRICS = {"auc": "AUC", "gauc": "GAUC"}
# Their documented data loader, and batches cut from tensors at once.
_LOADERS = {"documented": "its loader", "sliced": "batches cut at once"}

_CLOCKS = ("processor", "wall")

Card = dict[str, Any]


def make_libraries_card(
    cells: Sequence[Card],
    tried: Mapping[str, Sequence[Card]],
    turns: Mapping[str, Sequence[Card]],
    facts: Card,
) -> Card:
    """Compares ours with theirs, model by model.

    Args:
        cells: what `Contest.run` returned, of all models, systems and seeds.
        tried: model -> those of theirs with each size of batch.
        turns: model -> what `Contest.time` returned, turn by turn.
        facts: of the run, which the card keeps.

    Returns:
        `facts` and `models`: name -> `seeds`, `objectives`, `systems` (name
        -> `metrics`, by objective and metric `mean`, and of ours against
        theirs `difference`, `low`, `high`, 95 %; `parameters`), `batches`
        (`batch_rows`, `validation_auc`, `impressions_per_second`) and `speed`
        (`load`, and by `processor` and `wall` time `jd_tf`, `documented`,
        `sliced` and, of the last two, `ratios`; each least, median, greatest).

    Raises:
        DataError: if systems were judged on different requests.
    """
    found = {}
    for name, batches in tried.items():
        mine = [cell for cell in cells if cell["data"] == name]
        if len({cell["fingerprint"] for cell in mine}) > 1:
            raise DataError(
                f"{name}: systems were not judged on the same requests. Name "
                "another --output."
            )
        systems = list(dict.fromkeys(cell["model"] for cell in mine))
        # The zoo's costs are not measured here.
        costs = {"operations": {}, "latency_ms": {"median": 0.0}}
        rows = make_card([c | costs for c in mine], systems, {})["data"][name]
        found[name] = {
            "seeds": rows["seeds"],
            "objectives": rows["objectives"],
            "systems": {
                system: {n: row[n] for n in ("metrics", "parameters")}
                for system, row in rows["models"].items()
            },
            "batches": [
                {
                    "batch_rows": cell["settings"]["batch_rows"],
                    "validation_auc": cell["validation_auc"],
                    "impressions_per_second": cell["impressions"]
                    / cell["seconds"],
                }
                for cell in batches
            ],
            "speed": _speed(turns.get(name, ())),
        }
    return {**facts, "models": found}


def _speed(turns: Sequence[Card]) -> Card:
    if not turns:
        return {}
    speed: Card = {"load": _range([turn["load"] for turn in turns])}
    for clock in _CLOCKS:
        rates = {
            name: np.array([turn[name][clock] for turn in turns])
            for name in (OURS, *_LOADERS)
        }
        speed[clock] = {name: _range(of) for name, of in rates.items()}
        speed[clock]["ratios"] = {
            name: _range(rates[OURS] / rates[name]) for name in _LOADERS
        }
    return speed


def _range(values: Any) -> list[float]:
    return [float(f(values)) for f in (np.min, np.median, np.max)]


def card_markdown(card: Card) -> str:
    """Returns tables of quality, speed and batch sizes."""
    head = ["model", "objective"]
    for title in _METRICS.values():
        head += [f"{title} {THEIRS}", f"{title} ours", "ours - theirs (95 %)"]
    quality, speed = [head], [["model", "ours"]]
    for title in _LOADERS.values():
        speed[0] += [f"{THEIRS}, {title}", "ours / theirs"]
    speed[0] += ["by wall time, load", "parameters ours", "theirs"]
    batches = [["model", "rows a batch", "validation AUC", "impressions/s"]]
    for name, entry in card["models"].items():
        systems = entry["systems"]
        seeds = ", ".join(map(str, entry["seeds"]))
        for system in list(systems)[1:]:
            label = f"{name}{system.removeprefix(OURS)} (seeds {seeds})"
            for objective in entry["objectives"]:
                line = [label, objective]
                for metric in _METRICS:
                    own, theirs = (
                        systems[s]["metrics"][objective][metric]
                        for s in (system, THEIRS)
                    )
                    line += _compared(own, theirs)
                quality.append(line)
        if measured := entry["speed"]:
            rates, wall = (measured[clock] for clock in _CLOCKS)
            line = [name, _spread(rates[OURS])]
            for loader in _LOADERS:
                line.append(_spread(rates[loader]))
                line.append(_spread(rates["ratios"][loader], 1))
            by_wall = _spread(wall["ratios"]["documented"], 1)
            line.append(f"{by_wall}, {measured['load'][1]:.1f}")
            sizes = [systems[s]["parameters"] for s in (OURS, THEIRS)]
            speed.append([*line, *(f"{size:,}" for size in sizes)])
        for tried in entry["batches"]:
            rows, auc, rate = tried.values()
            batches.append([name, f"{rows:,}", f"{auc:.4f}", f"{rate:,.0f}"])
    return "\n".join(
        [
            "Test split, means over seeds; differences with their 95 % "
            "interval (paired bootstrap over users, and seeds).",
            f"`{card['command']}`; {card['machine']}, {card['threads']} "
            f"computing; {card['date']}.",
            "",
            *_table(quality),
            "",
            "Training impressions a second of processor time in turns: median "
            "(least to greatest).",
            "",
            *_table(speed),
            "",
            f"Sizes of {THEIRS}'s batches, first seed.",
            "",
            *_table(batches),
        ]
    )


def _compared(own: Card, theirs: Card) -> list[str]:
    texts = [
        "-" if entry["mean"] is None else f"{entry['mean']:.4f}"
        for entry in (theirs, own)
    ]
    low, high = own.get("low"), own.get("high")
    if low is None or high is None:
        return [*texts, "-"]
    verdict = "level" if low <= 0 <= high else "ours" if low > 0 else "theirs"
    apart = f"{own['difference']:+.4f} ({low:+.4f} to {high:+.4f})"
    return [*texts, f"{apart} {verdict}"]


def _spread(values: Sequence[float], digits: int = 0) -> str:
    low, median, high = (f"{value:,.{digits}f}" for value in values)
    return f"{median} ({low} to {high})"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    head, *body = rows
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    return lines + [f"| {' | '.join(row)} |" for row in body]
