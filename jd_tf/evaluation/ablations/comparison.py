"""Results of runs -> the cells of an ablation's tables."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from jd_tf.evaluation.ablations.judged_metrics import METRICS
from jd_tf.evaluation.ablations.paired_difference import PairedDifference
from jd_tf.evaluation.ablations.rows import Row
from jd_tf.schema import DataError

# (name of the row, seed) -> what `judge_run` returned
Results = Mapping[tuple[str, int], Mapping[str, Any]]
SIGNIFICANT = 0.05


@dataclasses.dataclass(frozen=True)
class Cell:
    """One row's metric on one objective and kind of candidates.

    Attributes:
        row: name.
        against: the row it is compared with; "" for none.
        kind: "all" or "cold".
        objective: name.
        metric: name.
        seeds: the finished ones.
        values: per seed, nan where undefined.
        num_positives: positives among the kind's impressions.
        num_impressions: impressions of that kind.
        paired: the difference to `against` over the seeds both have, or None.
    """

    row: str
    against: str
    kind: str
    objective: str
    metric: str
    seeds: tuple[int, ...]
    values: tuple[float, ...]
    num_positives: int
    num_impressions: int
    paired: PairedDifference | None

    @property
    def mean(self) -> float:
        """Over seeds; nan if undefined for any."""
        return float(np.mean(self.values)) if self.values else float("nan")

    @property
    def spread(self) -> float:
        """Standard deviation over seeds; nan for fewer than two."""
        if len(self.values) < 2:
            return float("nan")
        return float(np.std(self.values, ddof=1))


def table_cells(
    rows: Sequence[Row], seeds: Sequence[int], results: Results
) -> list[Cell]:
    """Every row on every objective, kind and metric.

    Rows without a finished run are left out. Each is compared with the row it
    names, the first one if it names none.

    Args:
        rows: in the order of the table.
        seeds: those to use.
        results: of the finished runs.
    """
    return [
        _cell(row, other, place, seeds, results)
        for row, other in _compared(rows)
        for place in _places(results)
        if any((row, seed) in results for seed in seeds)
    ]


def pair_cells(
    pairs: Sequence[tuple[str, str]], seeds: Sequence[int], results: Results
) -> list[Cell]:
    """Further comparisons, each first name against the second."""
    return [
        _cell(one, other, place, seeds, results)
        for one, other in pairs
        for place in _places(results)
        if _shared(one, other, seeds, results)
    ]


def all_pairs(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Every row against every earlier one."""
    names = [row.name for row in rows]
    return [(one, other) for i, one in enumerate(names) for other in names[:i]]


def check_comparable(results: Results) -> None:
    """Refuses runs that were not judged on the same requests."""
    prints = {key: found["fingerprint"] for key, found in results.items()}
    if len(set(prints.values())) > 1:
        (one, first), *others = prints.items()
        other = next(key for key, value in others if value != first)
        raise DataError(
            f"row `{one[0]}`, seed {one[1]}, and row `{other[0]}`, seed "
            f"{other[1]}, were not judged on the same requests and resamples. "
            "Name another --workdir, or delete their result.json to judge "
            "them again."
        )


def marks_of(cells: Sequence[Cell]) -> dict[tuple[str, ...], str]:
    """Marks of significance by `key_of`: "**", "*" or "".

    One star: p below 0.05. Two: below 0.05 over the number of comparisons
    made (Bonferroni), so that even the best of them is no accident.
    """
    known = [
        cell
        for cell in cells
        if cell.paired is not None and not np.isnan(cell.paired.p_value)
    ]
    strict = SIGNIFICANT / max(len(known), 1)
    return {
        key_of(cell): "*"
        * ((cell.paired.p_value < SIGNIFICANT) + (cell.paired.p_value < strict))
        for cell in known
    }


def key_of(cell: Cell) -> tuple[str, ...]:
    """What tells a cell from all others."""
    return cell.row, cell.against, cell.kind, cell.objective, cell.metric


def _compared(rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    first = rows[0].name
    for row in rows:
        other = row.against or first
        yield row.name, "" if other == row.name else other


def _places(results: Results) -> list[tuple[str, str, str]]:
    """(kind, objective, metric) in the order of the results."""
    found = next(iter(results.values()), {"metrics": {}})["metrics"]
    return [
        (kind, objective, metric)
        for kind, objectives in found.items()
        for objective in objectives
        for metric in METRICS
    ]


def _shared(
    one: str, other: str, seeds: Sequence[int], results: Results
) -> list[int]:
    return [
        seed
        for seed in seeds
        if (one, seed) in results and (other, seed) in results
    ]


def _cell(
    row: str,
    against: str,
    place: tuple[str, str, str],
    seeds: Sequence[int],
    results: Results,
) -> Cell:
    kind, objective, metric = place

    def entries(name: str, wanted: Sequence[int]) -> list[Mapping[str, Any]]:
        return [
            results[name, seed]["metrics"][kind][objective] for seed in wanted
        ]

    def values(name: str, wanted: Sequence[int]) -> np.ndarray:
        return np.array([e[metric] for e in entries(name, wanted)], float)

    def replicates(name: str, wanted: Sequence[int]) -> np.ndarray | None:
        drawn = [
            results[name, seed]["replicates"][kind][objective].get(metric)
            for seed in wanted
        ]
        return None if None in drawn else np.array(drawn, float)

    finished = [seed for seed in seeds if (row, seed) in results]
    both = _shared(row, against, seeds, results) if against else []
    paired = None
    if both:
        paired = PairedDifference.of(
            values(row, both),
            values(against, both),
            replicates(row, both),
            replicates(against, both),
        )
    first = entries(row, finished[:1])[0]
    return Cell(
        row,
        against,
        kind,
        objective,
        metric,
        tuple(finished),
        tuple(values(row, finished).tolist()),
        first["num_positives"],
        first["num_impressions"],
        paired,
    )
