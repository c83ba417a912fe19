"""Fusions against fixed weights, where sessions differ in value.

    python -m experiments.make_data --source=simulator --session_worlds \
        --output=runs/worlds
    python -m experiments.train --data=runs/worlds --workdir=runs/a --seed=1 \
        --calibrate --fusion=personalized --use_representation \
        --fusion_gain=reward --fusion_request_weights=gain
    python -m experiments.benchmarks.fusion.fusion_contest --data=runs/worlds \
        --runs=runs/a,runs/b,runs/c --output=runs/contest

The main network of each run is frozen: what its fusion reads is computed once
and kept under --output, and three gates learn from it on the training split:
of the session's counts and the request alone, of all session features, and of
the ranker's representation beside them. A run named several times trains them
with as many seeds. All are judged on the
test split by the reward, against fixed weights searched on validation. Writes
`contest.json` and `contest.md`: captured value with intervals, paired
differences, and the weights by kind of session.
"""

from pathlib import Path

from absl import flags

from experiments import program

_DATA = flags.DEFINE_string(
    "data", None, "Folder of make_data, with a reward.", required=True
)
_RUNS = flags.DEFINE_list(
    "runs", None, "Runs with --use_representation, one a seed.", required=True
)
_OUTPUT = flags.DEFINE_string("output", None, "Folder to write.", required=True)
_FORM = flags.DEFINE_enum(
    "form", "log_linear", ["log_linear", "additive"], "Of the gates."
)
_UNITS = flags.DEFINE_integer(
    "units", 32, "Hidden width of the gates.", lower_bound=1
)
_EPOCHS = flags.DEFINE_integer(
    "epochs", 4, "Passes of the gates over the training split.", lower_bound=1
)
_LEARNING_RATE = flags.DEFINE_float(
    "learning_rate", 1e-3, "Of the gates.", lower_bound=0.0
)
_REQUEST_WEIGHTS = flags.DEFINE_enum(
    "request_weights",
    "gain",
    ["equal", "gain"],
    "What all are fitted to: requests by their gain, as captured value counts "
    "them, or alike, as value-NDCG does.",
)
_NUM_WEIGHTS = flags.DEFINE_integer(
    "num_weights", 1000, "Weight vectors tried, for each form.", lower_bound=20
)
_NUM_REPLICATES = flags.DEFINE_integer(
    "num_replicates", 500, "Bootstrap resamples of users.", lower_bound=2
)


def main(_: object) -> None:
    """Runs the contest and writes its tables."""
    from experiments.benchmarks.fusion.contest import contest, markdown
    from jd_tf.data.files import write_whole
    from jd_tf.evaluation.metrics_file import write_metrics

    output = Path(_OUTPUT.value)
    reports = [
        contest(
            _DATA.value,
            Path(run),
            output,
            seed,
            {
                "form": _FORM.value,
                "units": (_UNITS.value,),
                "epochs": _EPOCHS.value,
                "learning_rate": _LEARNING_RATE.value,
                "request_weights": _REQUEST_WEIGHTS.value,
            },
            num_weights=_NUM_WEIGHTS.value,
            num_replicates=_NUM_REPLICATES.value,
            progress=program.PROGRESS.value,
        )
        for seed, run in enumerate(_RUNS.value, 1)
    ]
    write_metrics(output / "contest.json", {"runs": reports})
    table = markdown(reports)
    write_whole(output / "contest.md", table.encode("utf-8"))
    print(table)


if __name__ == "__main__":
    program.run(main)
