"""Best fusion weights as JSON, as a table and as a picture."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jd_tf.data.files import write_whole
from jd_tf.evaluation.fusion.fusion_pictures import front_picture
from jd_tf.evaluation.fusion.grid import FusionGrid
from jd_tf.evaluation.fusion.predictions import FusionPredictions
from jd_tf.evaluation.fusion.weight_judge import ALL, WeightJudge
from jd_tf.evaluation.metrics_file import write_metrics

JSON_FILE, TABLE_FILE = "fusion_grid.json", "fusion_grid.csv"
PICTURE_FILE = "fusion_grid.png"
# Names of rankings in the report.
GLOBAL, SEGMENTED, EXPECTED = (
    "best_global_weights",
    "best_weights_by_",
    "expected_value",
)


def rankings_of(
    grid: FusionGrid, judge: WeightJudge, predictions: FusionPredictions
) -> dict[str, np.ndarray]:
    """Scores of the best weights, of the plain rule, and those given.

    Args:
        grid: of the weights.
        judge: of `predictions`, of the same form as the grid's.
        predictions: of the requests to rank; their segments need not have
            all been met in the grid: new ones get the global weights.

    Returns:
        Name -> [R, N].
    """
    features = judge.features
    everywhere = grid.best_weights()
    rankings = {GLOBAL: features @ everywhere.astype(np.float32)}
    place = {group: number for number, group in enumerate(grid.groups)}
    for name in dict.fromkeys(n for n, _ in grid.groups if n != ALL[0]):
        chosen = np.stack(
            [
                grid.best_weights(place[name, str(segment)])
                if (name, str(segment)) in place
                else everywhere
                for segment in predictions.segments[name]
            ]
        ).astype(np.float32)
        rankings[f"{SEGMENTED}{name}"] = np.einsum(
            "rnt,rt->rn", features, chosen
        )
    rankings[EXPECTED] = predictions.expected_values()
    return {**rankings, **predictions.scores}


def report_grid(
    grid: FusionGrid,
    judge: WeightJudge,
    predictions: FusionPredictions,
) -> dict[str, Any]:
    """The best weights, and the metrics of all rankings.

    Args:
        grid: of the requests searched.
        judge: of `predictions`; may be other requests than were searched.
        predictions: of the requests that the rankings are judged on.

    Returns:
        A plain dict: the best weights of all requests and of each segment
        with their value-NDCG and the regret of the global ones on the
        requests searched; and every ranking on `predictions`, with its mean
        distance from the best global weights and that distance's standard
        error over requests.
    """
    names = predictions.objectives
    best = grid.best
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
        "rankings": _judge_rankings(grid, judge, predictions),
    }


def write_grid(
    output_dir: str | Path,
    report: Mapping[str, Any],
    grid: FusionGrid,
    shown: FusionGrid,
    objectives: Sequence[str],
    axes: tuple[int, int],
) -> None:
    """Writes table and picture, and the report last; each whole or not.

    Args:
        output_dir: made if missing.
        report: as of `report_grid`.
        grid: of the requests searched, for the table.
        shown: the same vectors on the requests of the report's rankings,
            for the picture.
        objectives: T names.
        axes: indices of the two objectives in the picture.
    """
    folder = Path(output_dir)
    table = pd.DataFrame(
        {
            "round": grid.rounds,
            **_columns("weight_", objectives, grid.weights.T),
            **_columns("", map(_column, grid.groups), grid.ndcg),
            **_columns("captured_", objectives, grid.captured),
        }
    )
    order = np.argsort(-np.nan_to_num(grid.ndcg[0]), kind="stable")
    text = table.iloc[order].to_csv(
        index=False, float_format="%.6g", na_rep="nan", lineterminator="\n"
    )
    write_whole(folder / TABLE_FILE, text.encode("utf-8"))
    picture = front_picture(shown, objectives, axes, report["rankings"])
    write_whole(folder / PICTURE_FILE, picture.png)
    write_metrics(folder / JSON_FILE, report)


def _judge_rankings(
    grid: FusionGrid, judge: WeightJudge, predictions: FusionPredictions
) -> dict[str, Any]:
    rankings = rankings_of(grid, judge, predictions)
    judged = judge.judge_scores(rankings)
    base = judge.request_ndcg(rankings[GLOBAL])
    found = {}
    for number, (name, scores) in enumerate(rankings.items()):
        apart = judge.request_ndcg(scores) - base
        apart = apart[~np.isnan(apart)]
        error = np.nan
        if len(apart) > 1:
            error = apart.std(ddof=1) / np.sqrt(len(apart))
        found[name] = {
            "ndcg": judged.ndcg[0, number],
            "minus_best_global_weights": apart.mean() if len(apart) else np.nan,
            "standard_error": error,
            "segments": {
                _column(group): judged.ndcg[place, number]
                for place, group in enumerate(judge.groups)
                if group != ALL
            },
            "captured": _by_name(
                predictions.objectives, judged.captured[:, number]
            ),
        }
    return found


def _columns(
    prefix: str, names: Iterable[str], rows: np.ndarray
) -> dict[str, np.ndarray]:
    return {f"{prefix}{n}": row for n, row in zip(names, rows, strict=True)}


def _column(group: tuple[str, str]) -> str:
    return "ndcg" if group == ALL else f"ndcg_{group[0]}_{group[1]}"


def _by_name(names: Sequence[str], numbers: Any) -> dict[str, Any]:
    return dict(zip(names, np.asarray(numbers).tolist(), strict=True))
