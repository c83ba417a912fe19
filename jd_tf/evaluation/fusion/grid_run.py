"""Best constant weights of a file of predictions: JSON, table, picture."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jd_tf.data.files import write_whole
from jd_tf.evaluation.fusion.grid import FusionGrid, search_weights
from jd_tf.evaluation.fusion.pictures import front_picture
from jd_tf.evaluation.fusion.predictions import FusionPredictions
from jd_tf.evaluation.fusion.weight_judge import ALL, WeightJudge
from jd_tf.evaluation.metrics_file import write_metrics
from jd_tf.evaluation.objective_metrics import paired_difference
from jd_tf.schema import DataError

JSON_FILE, TABLE_FILE = "fusion_grid.json", "fusion_grid.csv"
PICTURE_FILE = "fusion_grid.png"
# Names of rankings in the report.
GLOBAL, SEGMENTED = "best_global_weights", "best_weights_by_"
EXPECTED = "expected_value"


def grid_run(
    predictions: str | Path,
    output_dir: str | Path,
    judge: str | Path | None = None,
    form: str = "log_linear",
    num_weights: int = 1000,
    k: int = 10,
    values: Mapping[str, float] | None = None,
    segments: Sequence[str] | None = None,
    axes: Sequence[str] = (),
    seed: int = 0,
    progress: bool = False,
) -> dict[str, Any]:
    """Writes the three files of `experiments.fusion_grid`; returns the JSON's.

    The result is judged on the file `judge`, or on `predictions` if None.
    `values` replace the file's business values, all others 0, and set a reward
    aside; `segments` None are all; `axes` () are click and order, else first
    and last.
    """
    searched = FusionPredictions.load(predictions)
    others = FusionPredictions.load(judge) if judge else searched
    names = searched.objectives
    if others.objectives != names:
        raise DataError(
            f"{judge}: has objectives {others.objectives}, {predictions} has "
            f"{names}."
        )
    if values:
        by_name = _values(values, names)
        searched, others = (p.with_values(by_name) for p in (searched, others))
    if segments is None:
        segments = [n for n in searched.segments if n in others.segments]
    for path, file in ((predictions, searched), (judge, others)):
        missing = set(segments).difference(file.segments)
        if missing:
            raise DataError(
                f"{path}: has no segments {sorted(missing)}. It has: "
                f"{sorted(file.segments)}."
            )
    places = _axes(axes, names)
    began = time.monotonic()
    weights = WeightJudge(searched, form, k, segments)
    starts = [tuple(map(abs, searched.values))] if any(searched.values) else []
    grid = search_weights(weights, num_weights, starts, seed, progress, places)
    grid.best_weights()
    seconds = time.monotonic() - began
    shown = grid
    if judge:
        weights = WeightJudge(others, form, k, segments)
        shown = grid.judged_on(weights)
    report = {
        **report_grid(grid, weights),
        "searched": str(predictions),
        "judged": str(judge or predictions),
        "seconds": round(seconds, 2),
    }
    folder = Path(output_dir)
    write_whole(folder / TABLE_FILE, _table(grid, names).encode("utf-8"))
    picture = front_picture(shown, names, places, report["rankings"])
    write_whole(folder / PICTURE_FILE, picture.png)
    write_metrics(folder / JSON_FILE, report)
    return report


def report_grid(grid: FusionGrid, judge: WeightJudge) -> dict[str, Any]:
    """The best weights of the grid, and all rankings judged by `judge`."""
    predictions, best = judge.predictions, grid.best
    names = predictions.objectives
    segments: dict[str, Any] = {}
    for number, (name, segment) in enumerate(grid.groups):
        if (name, segment) == ALL or best[number] < 0:
            continue
        ndcg = grid.ndcg[number]
        segments.setdefault(name, {})[segment] = {
            "num_requests": int(grid.group_sizes[number]),
            "weights": _by_name(names, grid.best_weights(number)),
            "ndcg": ndcg[best[number]],
            "ndcg_of_global_weights": ndcg[best[0]],
            "regret_of_global_weights": ndcg[best[number]] - ndcg[best[0]],
        }
    return {
        "form": judge.form,
        "k": judge.k,
        "objectives": list(names),
        "values": _by_name(names, predictions.values),
        "reward": predictions.gains is not None,
        "num_weights": len(grid.weights),
        "num_requests": int(grid.group_sizes[0]),
        "global": {
            "weights": _by_name(names, grid.best_weights()),
            "ndcg": grid.ndcg[0, best[0]],
        },
        "segments": segments,
        "rankings": _judge_rankings(grid, judge),
    }


def rankings_of(grid: FusionGrid, judge: WeightJudge) -> dict[str, np.ndarray]:
    """Scores [R, N]; segments the grid has not met get the global weights."""
    predictions, everywhere = judge.predictions, grid.best_weights()
    rankings = {GLOBAL: judge.features @ everywhere.astype(np.float32)}
    place = {group: number for number, group in enumerate(grid.groups)}
    for name in dict.fromkeys(n for n, _ in grid.groups if n != ALL[0]):
        chosen = [
            grid.best_weights(place.get((name, str(segment)), 0))
            for segment in predictions.segments[name]
        ]
        rankings[f"{SEGMENTED}{name}"] = np.einsum(
            "rnt,rt->rn", judge.features, np.array(chosen, np.float32)
        )
    rankings[EXPECTED] = predictions.expected_values()
    return {**rankings, **predictions.scores}


def _judge_rankings(grid: FusionGrid, judge: WeightJudge) -> dict[str, Any]:
    rankings = rankings_of(grid, judge)
    judged = judge.judge_scores(rankings)
    base = judge.request_ndcg(rankings[GLOBAL])
    found = {}
    for number, (name, scores) in enumerate(rankings.items()):
        apart = paired_difference(judge.request_ndcg(scores), base)
        found[name] = {
            "ndcg": judged.ndcg[0, number],
            "minus_best_global_weights": apart["difference"],
            "standard_error": apart["standard_error"],
            "segments": {
                _column(group): judged.ndcg[place, number]
                for place, group in enumerate(judge.groups)
                if group != ALL
            },
            "captured": _by_name(
                judge.predictions.objectives, judged.captured[:, number]
            ),
        }
    return found


def _table(grid: FusionGrid, objectives: Sequence[str]) -> str:
    """CSV of all weight vectors, the best first."""
    columns = [
        *("round", *(f"weight_{n}" for n in objectives)),
        *(_column(group) for group in grid.groups),
        *(f"captured_{n}" for n in objectives),
    ]
    rows = [grid.rounds, *grid.weights.T, *grid.ndcg, *grid.captured]
    table = pd.DataFrame(dict(zip(columns, rows, strict=True)))
    order = np.argsort(-np.nan_to_num(grid.ndcg[0]), kind="stable")
    return table.iloc[order].to_csv(
        index=False, float_format="%.6g", na_rep="nan", lineterminator="\n"
    )


def _column(group: tuple[str, str]) -> str:
    return "ndcg" if group == ALL else f"ndcg_{group[0]}_{group[1]}"


def _by_name(names: Sequence[str], numbers: Any) -> dict[str, Any]:
    return dict(zip(names, np.asarray(numbers).tolist(), strict=True))


def _values(values: Mapping[str, float], names: Sequence[str]) -> list[float]:
    """A value for every objective, 0 for those not given."""
    for name, value in values.items():
        if name not in names or not 0 <= value < float("inf"):
            raise DataError(
                f"--values are name=number >= 0 of {', '.join(names)}. "
                f"Got: '{name}={value:g}'."
            )
    return [values.get(name, 0.0) for name in names]


def _axes(axes: Sequence[str], names: Sequence[str]) -> tuple[int, int]:
    """Indices of the two objectives in the picture."""
    if not axes:
        first = names.index("click") if "click" in names else 0
        last = names.index("order") if "order" in names else len(names) - 1
        return first, last
    if len(axes) != 2 or not set(axes) <= set(names):
        raise DataError(
            f"--axes are two of {', '.join(names)}. Got: {','.join(axes)}."
        )
    return names.index(axes[0]), names.index(axes[1])
