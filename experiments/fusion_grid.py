"""Finds the best constant fusion weights, overall and by segment.

    python -m experiments.fusion_grid --predictions=validation.npz \
        --judge=test.npz --output=runs/fusion_grid

Predictions are `.npz` files with `probabilities` [R, N, T] (calibrated, over
all impressions), `labels` [R, N, T], `num_candidates` [R], `objectives` and
`values` [T], perhaps `gains` [R, N] (a reward in place of value), any
`segment_<name>` [R] and any `score_<name>` [R, N], rankings to stand beside.
Writes `fusion_grid.json`, `fusion_grid.csv` and `fusion_grid.png`.
"""

import time
from pathlib import Path

from absl import flags

from experiments import program
from jd_tf.schema import DataError

_PREDICTIONS = flags.DEFINE_string(
    "predictions", None, "File whose requests are searched.", required=True
)
_JUDGE = flags.DEFINE_string(
    "judge", None, "File to judge on what was found; --predictions if none."
)
_OUTPUT = flags.DEFINE_string("output", None, "Folder to write.", required=True)
_FORM = flags.DEFINE_enum(
    "form",
    "log_linear",
    ["log_linear", "additive"],
    "What is weighted: logarithms of probabilities, or probabilities.",
)
_NUM_WEIGHTS = flags.DEFINE_integer(
    "num_weights", 1000, "Weight vectors tried.", lower_bound=1
)
_PLACES = flags.DEFINE_integer(
    "k", 10, "Places of a ranking that count.", lower_bound=1
)
_VALUES = flags.DEFINE_list(
    "values",
    [],
    "name=number: business values in place of the file's, all others 0; a "
    "reward in the file is set aside.",
)
_SEGMENTS = flags.DEFINE_list(
    "segments", None, "Segmentations to search by; all by default."
)
_AXES = flags.DEFINE_list(
    "axes",
    [],
    "Two objectives of the picture; click and order, else first and last.",
)
_SEED = flags.DEFINE_integer("seed", 0, "Of the weights drawn.", lower_bound=0)
_PROGRESS = flags.DEFINE_bool("progress", True, "Whether to show a bar.")


def main(_: object) -> None:
    """Writes the three files and prints what was found."""
    from jd_tf.evaluation.fusion.grid import search_weights
    from jd_tf.evaluation.fusion.grid_judge import WeightJudge
    from jd_tf.evaluation.fusion.grid_report import (
        JSON_FILE,
        report_grid,
        write_grid,
    )
    from jd_tf.evaluation.fusion.predictions import FusionPredictions

    searched = FusionPredictions.load(_PREDICTIONS.value)
    others = searched
    if _JUDGE.value:
        others = FusionPredictions.load(_JUDGE.value)
        if others.objectives != searched.objectives:
            raise DataError(
                f"{_JUDGE.value}: has objectives {others.objectives}, "
                f"{_PREDICTIONS.value} has {searched.objectives}."
            )
    names = searched.objectives
    if _VALUES.value:
        values = _numbers(_VALUES.value, names)
        searched, others = (p.with_values(values) for p in (searched, others))
    segments = _SEGMENTS.value
    if segments is None:
        segments = [n for n in searched.segments if n in others.segments]
    for path, file in ((_PREDICTIONS, searched), (_JUDGE, others)):
        missing = set(segments).difference(file.segments)
        if missing:
            raise DataError(
                f"{path.value}: has no segments {sorted(missing)}. It has: "
                f"{sorted(file.segments)}."
            )
    axes = _places(_AXES.value, names)
    began = time.monotonic()
    judge = WeightJudge(searched, _FORM.value, _PLACES.value, segments)
    starts = [searched.values] if any(searched.values) else []
    grid = search_weights(
        judge,
        _NUM_WEIGHTS.value,
        starts,
        _SEED.value,
        _PROGRESS.value,
        axes,
    )
    grid.best_weights()
    seconds = time.monotonic() - began
    shown = grid
    if others is not searched:
        judge = WeightJudge(others, _FORM.value, _PLACES.value, segments)
        shown = grid.judged_on(judge)
    report = report_grid(grid, judge, others)
    report = {
        **report,
        "searched": str(_PREDICTIONS.value),
        "judged": str(_JUDGE.value or _PREDICTIONS.value),
        "seconds": round(seconds, 2),
    }
    write_grid(_OUTPUT.value, report, grid, shown, names, axes)
    shown = ", ".join(
        f"{name} {weight:.3f}"
        for name, weight in report["global"]["weights"].items()
    )
    print(f"best global weights: {shown}")
    for name, entry in report["rankings"].items():
        print(
            f"{name:<32} value-NDCG@{_PLACES.value} {entry['ndcg']:.5f}  "
            f"({entry['minus_best_global_weights']:+.5f} +- "
            f"{entry['standard_error']:.5f})"
        )
    print(
        f"{len(grid.weights)} weight vectors on {report['num_requests']:,} "
        f"requests with gain in {seconds:.1f} s"
    )
    print(f"report: {Path(_OUTPUT.value) / JSON_FILE}")


def _numbers(texts: list[str], names: tuple[str, ...]) -> list[float]:
    """name=number texts to a number for every name."""
    found = dict.fromkeys(names, 0.0)
    for text in texts:
        name, _, number = text.partition("=")
        try:
            value = float(number)
        except ValueError:
            value = -1.0
        if name not in found or not 0 <= value < float("inf"):
            raise DataError(
                f"--values are name=number >= 0 of {', '.join(names)}. "
                f"Got: {text!r}."
            )
        found[name] = value
    return list(found.values())


def _places(axes: list[str], names: tuple[str, ...]) -> tuple[int, int]:
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


if __name__ == "__main__":
    program.run(main)
