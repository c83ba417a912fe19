"""Recall channels and their merge on public data sets of user timelines.

    python -m experiments.benchmarks.recall.recall_sequences \
        --input=../shared/data/amazon_sequences --output=runs/recall \
        --datasets=Beauty,Toys_and_Games

The last item of each user is sought among ALL items but those of his history
(the files name no item twice, so there are no repeats to tell apart). Tables
know training events alone; weights of the blend are chosen on the validation
targets. Writes `OUTPUT/NAME/result.json` and prints a table per data set; `*`
marks what differs from the merge by the interval of a paired bootstrap over
users. `--rankers` names the output of `public_sequences`: two more rows, the
merge's items in the order of the ranker and of a blend of both. What is made
already (data, pairs, EASE) is not made again.

Exit codes: 0 done; 2 unusable data or flags.
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
_CHANNELS = program.needs_entries(
    flags.DEFINE_list(
        "channels",
        [
            "popular",
            "popular_in_attribute",
            "co_visits_of_last",
            "item_knn",
            "ease",
            "swing",
            "item_pairs",
            "item_pairs_two_steps",
        ],
        "Channels that are compared and merged.",
    )
)
_RANKERS = flags.DEFINE_string(
    "rankers",
    None,
    "Output of public_sequences, whose models order what the merge brings.",
)
_RETRIEVERS = flags.DEFINE_string(
    "retrievers",
    None,
    "Folder with a SavedModel NAME of export_retrieval for each data set; "
    "adds the channel `two_tower`.",
)


def main(_: object) -> None:
    """Judges data set by data set; prints the tables."""
    folder = Path(_INPUT.value)
    from experiments.benchmarks.recall.recall_channels import check_channels
    from experiments.benchmarks.recall.sequences_recall import judge_dataset
    from jd_tf.data.sources.timelines import timeline_names

    names = timeline_names(folder, _DATASETS.value)
    channels = list(_CHANNELS.value)
    if _RETRIEVERS.value and "two_tower" not in channels:
        channels.append("two_tower")
    check_channels(channels)
    for name in names:
        ranker, retriever = (
            Path(flag.value) / name / inner if flag.value else None
            for flag, inner in ((_RANKERS, "model"), (_RETRIEVERS, "."))
        )
        output = Path(_OUTPUT.value) / name
        print(judge_dataset(folder, name, output, channels, ranker, retriever))


if __name__ == "__main__":
    program.run(main)
