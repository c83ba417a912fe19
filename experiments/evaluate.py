"""Judges a trained run beside baselines, boosted trees and other systems.

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
_SPLITS = program.needs_entries(
    flags.DEFINE_list("splits", ["test", "validation"], "Splits to judge on.")
)
_TEST_INPUT = flags.DEFINE_string(
    "test_input",
    None,
    "Requests of your own to judge as the test split: a data folder, or a file "
    "of JSON, JSON lines or TFRecords with labels.",
)
_MAX_TREE_IMPRESSIONS = flags.DEFINE_integer(
    "max_tree_impressions",
    None,
    "Impressions that boosted trees and LightGBM learn from at most; all by "
    "default, 0 leaves them out.",
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
_PREDICTIONS_OF = flags.DEFINE_multi_string(
    "predictions_of",
    [],
    "NAME:FILE, another system's predictions to judge beside the run: .csv, "
    ".tsv or .npz with request_id, item_id and one column an objective "
    "(probabilities), <objective>_score or score.",
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
    from experiments.own_test_data import open_test_data
    from jd_tf.evaluation import evaluate
    from jd_tf.evaluation.report.run_report import REPORT_FILE, printed_summary

    with open_test_data(_TEST_INPUT.value, _WORKDIR.value) as test_data:
        metrics = evaluate(
            _DATA.value,
            _WORKDIR.value,
            _SPLITS.value,
            _MAX_TREE_IMPRESSIONS.value,
            _NUM_REPLICATES.value,
            predictions=_PREDICTIONS.value,
            segments=_SEGMENTS.value,
            reward=_GAIN.value == "reward",
            predictions_of=program.named_entries(_PREDICTIONS_OF, "file", ":"),
            test_data=test_data,
        )
    print(printed_summary(metrics[_SPLITS.value[0]]))
    print(f"report: {Path(_WORKDIR.value) / REPORT_FILE}")


if __name__ == "__main__":
    program.run(main)
