"""Writes what a trained ranker makes of pictures and titles.

    python -m experiments.aligned_items --data=runs/data --workdir=runs/model \
        --output=runs/aligned

Writes `vectors.npz`, the transfer layer's output of every item shown in a
split, and `gates.npz`, which experts the gates listen to, for
`similarity_report --vectors=...,aligned=runs/aligned/vectors.npz
--gates=runs/aligned/gates.npz`.
"""

from pathlib import Path

from absl import flags

from experiments import program

_DATA = flags.DEFINE_string("data", None, "Data folder.", required=True)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of experiments.train.", required=True
)
_OUTPUT = flags.DEFINE_string("output", None, "Folder to write.", required=True)
_SPLIT = flags.DEFINE_string("split", "train", "Split whose items are read.")

_BATCH_SIZE = 256


def main(_: object) -> None:
    """Reads the split's items and writes both files."""
    from jd_tf.data.batches import read_batches
    from jd_tf.evaluation.similarity.aligned_items import aligned_items
    from jd_tf.training.workdir import load_trained

    model = load_trained(_WORKDIR.value)
    batches = read_batches(
        _DATA.value, _SPLIT.value, _BATCH_SIZE, schema=model.schema
    )
    vectors, gates = aligned_items(model, batches, _WORKDIR.value)
    output = Path(_OUTPUT.value)
    vectors.save(output / "vectors.npz")
    gates.save(output / "gates.npz")
    print(f"{len(vectors.item_ids):,} items: {output}/vectors.npz, gates.npz")


if __name__ == "__main__":
    program.run(main)
