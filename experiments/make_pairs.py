"""Counts pairs of items in the training records of a data folder.

    python -m experiments.make_pairs --data=runs/data --output=runs/pairs.npz
    python -m experiments.train --data=runs/data --workdir=runs/model \
        --pairs=runs/pairs.npz

A pair is an item and another one that users came to soon after it. Beside the
table of all training events, which serving reads, the file holds one for each
part of the training data, counted without it: no training request sees its
own events, nor, where there is a clock, later ones.

Exit codes: 0 written; 2 unusable data or flags.
"""

from absl import flags

from experiments import program

_DATA = flags.DEFINE_string(
    "data", None, "Data folder, made by make_data.", required=True
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "File to write, ending in .npz.", required=True
)
_COLUMNS = program.needs_entries(
    flags.DEFINE_list(
        "columns", ["item_id"], "Id columns whose pairs are counted."
    )
)
_KINDS = flags.DEFINE_list(
    "kinds",
    [],
    "Kinds of pairs, `behavior:objective` each; the first of both by default.",
)
_WINDOW = flags.DEFINE_integer("window", 20, "Largest distance, in events.")
_BACKWARDS = flags.DEFINE_float(
    "backwards", 0.7, "Factor of pairs against the order of events."
)
_TARGET_DAMPING = flags.DEFINE_float(
    "target_damping",
    0.25,
    "Exponent of the target's count by which a pair is divided; 0.5 is the "
    "cosine.",
)
_NUM_NEIGHBORS = flags.DEFINE_integer(
    "num_neighbors", 500, "Strongest neighbours of an item that are kept."
)
_LEAVE_OUT = flags.DEFINE_enum(
    "leave_out",
    "auto",
    ["auto", "time", "user"],
    "What a training request's table is counted without: its own part of the "
    "time and all later ones, or all users of its part.",
)
_NUM_PARTS = flags.DEFINE_integer("num_parts", 5, "Parts of the training data.")
_TWO_STEPS = flags.DEFINE_bool(
    "two_steps", False, "Whether neighbours of neighbours are a kind as well."
)


def main(_: object) -> None:
    """Counts, writes and prints how many."""
    from jd_tf.data import make_item_pairs
    from jd_tf.schema import DataError

    if not _OUTPUT.value.endswith(".npz"):
        raise DataError(f"--output must end in .npz. Got: {_OUTPUT.value}.")
    pairs = make_item_pairs(
        _DATA.value,
        _COLUMNS.value,
        _KINDS.value,
        _WINDOW.value,
        _BACKWARDS.value,
        _TARGET_DAMPING.value,
        _NUM_NEIGHBORS.value,
        _LEAVE_OUT.value,
        _NUM_PARTS.value,
        _TWO_STEPS.value,
        program.PROGRESS.value,
    )
    pairs.save(_OUTPUT.value)
    print(pairs.summary())
    print(f"pairs: {_OUTPUT.value}")


if __name__ == "__main__":
    program.run(main)
