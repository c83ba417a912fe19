"""Measures a whole recommender on logged requests.

    python -m experiments.evaluate_pipeline --config=YAML --data=DIR \
        --output=DIR

Prints what each stage passes on, keeps and costs; writes `pipeline.json`,
`funnel.png` and `diversity.png` (value kept against diversity gained).
"""

from absl import flags

from experiments import program

_CONFIG = flags.DEFINE_string(
    "config", None, "YAML file of the recommender.", required=True
)
_DATA = flags.DEFINE_string(
    "data", None, "Folder made by experiments.make_data.", required=True
)
_OUTPUT = flags.DEFINE_string("output", None, "Folder to write.", required=True)
_SPLIT = flags.DEFINE_string("split", "test", "Split whose requests are used.")
_NUM_REQUESTS = flags.DEFINE_integer(
    "num_requests", 300, "Requests answered; 0 for all.", lower_bound=0
)
_NUM_EXHAUSTIVE = flags.DEFINE_integer(
    "num_exhaustive",
    100,
    "Of so many the fine ranker scores the whole catalogue, too.",
    lower_bound=0,
)


def main(_: object) -> None:
    """Prints the table and where the files lie."""
    from jd_tf.pipeline.evaluation.pipeline_report import (
        evaluate_pipeline,
        report_text,
    )

    report = evaluate_pipeline(
        _CONFIG.value,
        _DATA.value,
        _OUTPUT.value,
        _SPLIT.value,
        _NUM_REQUESTS.value,
        _NUM_EXHAUSTIVE.value,
        program.PROGRESS.value,
    )
    print(report_text(report))
    print(f"report: {_OUTPUT.value}")


if __name__ == "__main__":
    program.run(main)
