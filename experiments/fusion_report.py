"""Reports on fusion weights: by segment, and against simpler orders.

    python -m experiments.fusion_report --data=DIR --workdir=RUN

Ranks two splits with a trained run that fuses its objectives, searches the best
constant weights on the one and judges everything on the other. Writes
`fusion_report.html` and `fusion_report.json` into `fusion/` of the run's
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
_OUTPUT = flags.DEFINE_string(
    "output", None, "Folder to write; fusion/ of --workdir by default."
)
_SEARCH = flags.DEFINE_string(
    "search", "validation", "Split that constant weights are searched on."
)
_SPLIT = flags.DEFINE_string("split", "test", "Split that is judged.")
_REWARD = flags.DEFINE_bool(
    "reward", False, "Judge by the reward column instead of business value."
)
_BESIDE = flags.DEFINE_list(
    "beside", [], "name=folder of more runs on these data to compare with."
)
_REQUEST_WEIGHTS = flags.DEFINE_enum(
    "request_weights",
    "equal",
    ["equal", "gain"],
    "What constant weights are searched for: requests alike, as value-NDCG "
    "counts them, or by their gain, as captured value does.",
)
_NUM_WEIGHTS = flags.DEFINE_integer(
    "num_weights", 1000, "Weight vectors tried, for each form.", lower_bound=20
)
_NUM_REPLICATES = flags.DEFINE_integer(
    "num_replicates", 500, "Bootstrap resamples of users.", lower_bound=2
)
_MAX_REQUESTS = flags.DEFINE_integer(
    "max_requests",
    0,
    "Requests of each split at most; 0 for all.",
    lower_bound=0,
)
_SEED = flags.DEFINE_integer(
    "seed", 0, "Of everything drawn at random.", lower_bound=0
)


def main(_: object) -> None:
    """Writes page and JSON and prints the recommendation."""
    beside = program.named_entries(_BESIDE, "folder")
    from jd_tf.evaluation.fusion.report import advice_lines, report_fusion

    page, report = report_fusion(
        _DATA.value,
        _WORKDIR.value,
        _OUTPUT.value or Path(_WORKDIR.value) / "fusion",
        _SEARCH.value,
        _SPLIT.value,
        beside,
        _REWARD.value,
        _MAX_REQUESTS.value,
        request_weights=_REQUEST_WEIGHTS.value,
        num_weights=_NUM_WEIGHTS.value,
        num_replicates=_NUM_REPLICATES.value,
        seed=_SEED.value,
        progress=program.PROGRESS.value,
    )
    for line in advice_lines(report):
        print(line)
    print(f"report: {page}")


if __name__ == "__main__":
    program.run(main)
