"""Judges a trained run beside popularity, last category and boosted trees.

    python -m experiments.evaluate --data=runs/data --workdir=runs/model

Writes `metrics.json` and the self-contained `report.html` into the run's
folder.
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


def main(_: object) -> None:
    """Writes metrics and report, and prints the headline."""
    # TensorFlow takes seconds to load; --help should not wait for it.
    from jd_tf.evaluation import run
    from jd_tf.evaluation.headline import headline

    metrics = run.evaluate_run(
        _DATA.value,
        _WORKDIR.value,
        _SPLITS.value,
        _MAX_TREE_IMPRESSIONS.value,
        _NUM_REPLICATES.value,
    )
    print(headline(metrics[_SPLITS.value[0]]))
    print(f"report: {Path(_WORKDIR.value) / run.REPORT_FILE}")


if __name__ == "__main__":
    program.run(main)
