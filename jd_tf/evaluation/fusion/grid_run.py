"""Searches the best constant weights of a file of predictions."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jd_tf.evaluation.fusion.grid import search_weights
from jd_tf.evaluation.fusion.grid_report import report_grid, write_grid
from jd_tf.evaluation.fusion.predictions import FusionPredictions
from jd_tf.evaluation.fusion.weight_judge import WeightJudge
from jd_tf.schema import DataError


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
    """Writes `fusion_grid.json`, `.csv` and `.png`.

    Args:
        predictions: file whose requests are searched.
        output_dir: made if missing.
        judge: file on which the result is judged; `predictions` if None.
        form: `"log_linear"` or `"additive"`.
        num_weights: weight vectors tried.
        k: places of a ranking that count.
        values: business values in place of the file's, all others 0; a
            reward in the file is set aside.
        segments: segmentations to search by; None for all.
        axes: two objectives of the picture; click and order, else first and
            last, if empty.
        seed: of the weights drawn.
        progress: whether to show a bar.

    Returns:
        What the JSON holds; see `report_grid`.

    Raises:
        DataError: if a file is damaged, or they do not fit each other.
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
    starts = [searched.values] if any(searched.values) else []
    grid = search_weights(weights, num_weights, starts, seed, progress, places)
    grid.best_weights()
    seconds = time.monotonic() - began
    shown = grid
    if judge:
        weights = WeightJudge(others, form, k, segments)
        shown = grid.judged_on(weights)
    report = {
        **report_grid(grid, weights, others),
        "searched": str(predictions),
        "judged": str(judge or predictions),
        "seconds": round(seconds, 2),
    }
    write_grid(output_dir, report, grid, shown, names, places)
    return report


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
