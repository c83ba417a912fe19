"""Judges a trained run beside popularity, last category and boosted trees.

    python -m experiments.evaluate --data=runs/data --workdir=runs/model

Writes `metrics.json` and the self-contained `report.html` into the run's
folder; of a ranker that calibrates or fuses, the gain of that, too. With
`--predictions=FOLDER`, writes what `experiments.fusion_grid` searches.
"""

from pathlib import Path

from absl import flags

from experiments import program

_DATA = flags.DEFINE_string(
    "data", None, "Folder made by experiments.make_data.", required=True
)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of experiments.train.", required=True
)
_SPLITS = flags.DEFINE_list(
    "splits", ["test", "validation"], "Splits to judge on."
)
_MAX_TREE_IMPRESSIONS = flags.DEFINE_integer(
    "max_tree_impressions",
    300_000,
    "Impressions the boosted trees learn from at most; 0 leaves them out.",
    lower_bound=0,
)
_NUM_REPLICATES = flags.DEFINE_integer(
    "num_replicates",
    200,
    "Bootstrap resamples of the intervals; 0 for none.",
    lower_bound=0,
)
_PREDICTIONS = flags.DEFINE_string(
    "predictions",
    None,
    "Folder that gets <split>.npz of each split, for fusion_grid.",
)
_SEGMENTS = flags.DEFINE_list(
    "segments",
    None,
    "Context columns whose ids are segments of calibration and fusion; that "
    "of the scenario, if there is one, and the simulator's intents by default.",
)
_GAIN = flags.DEFINE_enum(
    "gain",
    "value",
    ["value", "reward"],
    "Gain of candidates in the files of --predictions.",
)


def main(_: object) -> None:
    """Writes metrics and report, and prints a summary."""
    # TensorFlow takes seconds to load; --help should not wait for it.
    from jd_tf.evaluation import evaluate
    from jd_tf.evaluation.report.run_report import REPORT_FILE, printed_summary

    metrics = evaluate(
        _DATA.value,
        _WORKDIR.value,
        _SPLITS.value,
        _MAX_TREE_IMPRESSIONS.value,
        _NUM_REPLICATES.value,
        predictions=_PREDICTIONS.value,
        segments=_SEGMENTS.value,
        reward=_GAIN.value == "reward",
    )
    print(printed_summary(metrics[_SPLITS.value[0]]))
    print(f"report: {Path(_WORKDIR.value) / REPORT_FILE}")


if __name__ == "__main__":
    program.run(main)
