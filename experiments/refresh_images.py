"""Exports a trained ranker with new image vectors or pairs, untrained.

    python -m experiments.refresh_images --workdir=runs/model \
        --item_vectors=runs/new_vectors.npz --data=runs/data

    python -m experiments.refresh_images --workdir=runs/model \
        --pairs=runs/new_pairs.npz --data=runs/data

Replaces the image vectors or item pairs of the run's best weights, or both,
by those of the files, scores the test split with old and new ones, and checks
that only candidates that see another vector or pair moved. Then writes the
next version of the SavedModel, verified like every export; the run stays as
it is.

Exit codes: 0 written; 1 a score moved that must not, nothing is written; 2
unusable run, vectors, pairs or data.
"""

import sys

from absl import flags

from experiments import program

_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of experiments.train.", required=True
)
_ITEM_VECTORS = flags.DEFINE_string(
    "item_vectors", None, "All image vectors from now on, made by embed_images."
)
_PAIRS = flags.DEFINE_string(
    "pairs", None, "All item pairs from now on, made by make_pairs."
)
_DATA = flags.DEFINE_string(
    "data", None, "Data folder whose requests are scored.", required=True
)
_SPLIT = flags.DEFINE_string("split", "test", "Split that is scored.")
_BATCHES = flags.DEFINE_integer(
    "batches", 50, "Largest number of batches that are scored.", lower_bound=1
)
_OUTPUT = flags.DEFINE_string("output", "saved_models", "Folder of all models.")
_NAME = flags.DEFINE_string(
    "name", "", "Folder of this model in there; by default its registered name."
)

WRONGLY_MOVED = 1


def main(_: object) -> int:
    """Refreshes, compares, exports."""
    from jd_tf.serving.export import refresh

    folder = refresh(
        _WORKDIR.value,
        _DATA.value,
        _ITEM_VECTORS.value,
        _PAIRS.value,
        _OUTPUT.value,
        _NAME.value,
        _SPLIT.value,
        _BATCHES.value,
    )
    if folder is None:
        print(
            "error: scores moved that see no other table; nothing was written.",
            file=sys.stderr,
        )
        return WRONGLY_MOVED
    print(f"exported: {folder}")
    return 0


if __name__ == "__main__":
    program.run(main)
