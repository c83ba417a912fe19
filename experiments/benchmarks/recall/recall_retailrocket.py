"""Recall channels and their merge on RetailRocket, over rolling weeks.

    python -m experiments.benchmarks.recall.recall_retailrocket \
        --input=../shared/data/retailrocket --output=runs/recall_retailrocket

For each of the last weeks of `events.csv.gz` tables are made of all events
before it. Every event of the week on another item than the one before is
sought among all items but the one that the user is on, from his history up to
that moment; recall of repeated and of novel items is given apart. With
`--novel` only items outside the history are sought, and listed.
The week before the first one chooses the weights of the blend. Intervals are
of a paired bootstrap over users. EASE is left out: the log has more items
than it takes. `--two_tower_epochs` adds two towers, trained anew for each
week; the week that chooses the blend chooses their epochs, too. They never
bring items of the history: `--novel` compares them fairly.

Exit codes: 0 done; 2 unusable data or flags.
"""

from pathlib import Path

from absl import flags

from experiments import program
from jd_tf.schema import DataError

_INPUT = flags.DEFINE_string(
    "input", None, "Folder of events.csv.gz.", required=True
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "Folder of everything made.", required=True
)
_WEEKS = flags.DEFINE_integer("weeks", 4, "Weeks judged.", lower_bound=1)
_NOVEL = flags.DEFINE_bool(
    "novel", False, "Seek only items that are not in the history."
)
_CHANNELS = program.needs_entries(
    flags.DEFINE_list(
        "channels",
        [
            "popular",
            "newest",
            "own_history",
            "co_visits_of_last",
            "item_knn",
            "swing",
            "item_pairs",
            "item_pairs_two_steps",
        ],
        "Channels that are compared and merged.",
    )
)
_TWO_TOWER_EPOCHS = flags.DEFINE_integer(
    "two_tower_epochs",
    0,
    "Adds the channel `two_tower`: towers trained on what was before each "
    "week, for so many epochs at most; 0: none.",
    lower_bound=0,
)


def main(_: object) -> None:
    """Judges the weeks; prints the table."""
    from experiments.benchmarks.recall.recall_channels import check_channels
    from experiments.benchmarks.recall.retailrocket_recall import judge_weeks

    channels, epochs = list(_CHANNELS.value), _TWO_TOWER_EPOCHS.value
    check_channels(channels)
    if epochs and "two_tower" not in channels:
        channels.append("two_tower")
    if "two_tower" in channels and not epochs:
        raise DataError("--channels: `two_tower` needs --two_tower_epochs.")
    output = Path(_OUTPUT.value)
    print(
        judge_weeks(
            Path(_INPUT.value),
            output,
            _WEEKS.value,
            channels,
            _NOVEL.value,
            epochs,
        )
    )


if __name__ == "__main__":
    program.run(main)
