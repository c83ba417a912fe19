"""Our row under the published ones, on public data sets of user timelines.

    python -m experiments.benchmarks.public_sequences \
        --input=../shared/data/amazon_sequences --output=runs/sequences

For every `NAME.txt` of the folder (see `jd_tf.data.sources.sequences`; files
of attributes and negatives may be missing) makes the data, trains with the
preset of the source, evaluates by the protocol of S3-Rec and writes
`OUTPUT/NAME/result.json`. `--full_ranking` ranks all items for every test
user as well, which takes longer than training.

Whatever is done already is not done again, so running it again after a kill
goes on where it stopped, and `--full_ranking` can be added later. Ties count
as their expectation: a constant scorer hits by chance.
"""

from pathlib import Path

from absl import flags

from experiments import program

_INPUT = flags.DEFINE_string(
    "input", None, "Folder of the data sets.", required=True
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "Folder of everything made.", required=True
)
_DATASETS = program.needs_entries(
    flags.DEFINE_list(
        "datasets", None, "Names of data sets; by default all of the folder."
    )
)
_SEED = flags.DEFINE_integer(
    "seed", 1, "Of everything drawn at random.", lower_bound=0
)
_FULL_RANKING = flags.DEFINE_bool(
    "full_ranking", False, "Rank all items for test users, too."
)


def main(_: object) -> None:
    """Runs what is not done yet, data set by data set; prints the tables."""
    folder = Path(_INPUT.value)
    from experiments.benchmarks.sequences_run import result_table, run_dataset
    from jd_tf.data.sources.timelines import timeline_names

    names = timeline_names(folder, _DATASETS.value)
    results = []
    for name in names:
        print(f"\n#### {name}")
        results.append(
            run_dataset(
                folder,
                name,
                Path(_OUTPUT.value) / name,
                _SEED.value,
                _FULL_RANKING.value,
            )
        )
    for result in results:
        print(f"\n{result_table(result)}")


if __name__ == "__main__":
    program.run(main)
