"""Finds the best constant fusion weights, overall and by segment.

    python -m experiments.fusion_grid --predictions=validation.npz \
        --judge=test.npz --output=runs/fusion_grid

Predictions are `.npz` files with `probabilities` [R, N, T] (calibrated, over
all impressions), `labels` [R, N, T], `num_candidates` [R], `objectives` and
`values` [T], perhaps `gains` [R, N] (a reward in place of value), any
`segment_<name>` [R] and any `score_<name>` [R, N], rankings to stand beside.
Writes `fusion_grid.json`, `fusion_grid.csv` and `fusion_grid.png`.
"""

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


def main(_: object) -> None:
    """Writes the three files and prints the best weights."""
    from jd_tf.evaluation.fusion.grid_run import JSON_FILE, grid_run

    report = grid_run(
        _PREDICTIONS.value,
        _OUTPUT.value,
        _JUDGE.value,
        _FORM.value,
        _NUM_WEIGHTS.value,
        _PLACES.value,
        dict(map(_named, _VALUES.value)),
        _SEGMENTS.value,
        _AXES.value,
        _SEED.value,
        program.PROGRESS.value,
    )
    weights = ", ".join(
        f"{name} {weight:.3f}"
        for name, weight in report["global"]["weights"].items()
    )
    print(f"best global weights: {weights}")
    for name, entry in report["rankings"].items():
        print(
            f"{name:<32} value-NDCG@{_PLACES.value} {entry['ndcg']:.5f}  "
            f"({entry['minus_best_global_weights']:+.5f} +- "
            f"{entry['standard_error']:.5f})"
        )
    print(
        f"{report['num_weights']} weight vectors on "
        f"{report['num_requests']:,} requests with gain in "
        f"{report['seconds']:.1f} s"
    )
    print(f"report: {Path(_OUTPUT.value) / JSON_FILE}")


def _named(text: str) -> tuple[str, float]:
    """A name=number text as name and number."""
    name, _, number = text.partition("=")
    try:
        return name, float(number)
    except ValueError:
        raise DataError(
            f"--values are name=number, numbers >= 0. Got: {text!r}."
        ) from None


if __name__ == "__main__":
    program.run(main)
