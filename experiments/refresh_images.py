"""Gives a trained ranker new item pictures, without training.

    python -m experiments.refresh_images --workdir=runs/model \
        --item_vectors=runs/new_vectors.npz --data=runs/data

Replaces the image vectors of the run's best weights by those of the file,
scores the test split with old and new ones, and shows that only candidates
that see an item with another vector moved. Then writes the next version of
the SavedModel, verified like every export; the run stays as it is.

Exit codes: 0 written; 1 a score moved that must not, nothing is written; 2
unusable run, vectors or data.
"""

import sys

from absl import flags, logging

from experiments import program

_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of experiments.train.", required=True
)
_ITEM_VECTORS = flags.DEFINE_string(
    "item_vectors",
    None,
    "All image vectors from now on, made by embed_images.",
    required=True,
)
_DATA = flags.DEFINE_string(
    "data", None, "Data folder whose requests are scored.", required=True
)
_SPLIT = flags.DEFINE_string("split", "test", "Split that is scored.")
_BATCHES = flags.DEFINE_integer(
    "batches", 50, "Batches that are scored at most.", lower_bound=1
)
_OUTPUT = flags.DEFINE_string("output", "saved_models", "Folder of all models.")
_NAME = flags.DEFINE_string(
    "name", "", "Folder of this model in there; by default its class's name."
)

WRONGLY_MOVED = 1
_BATCH_SIZE = 64


def main(_: object) -> None:
    """Refreshes, compares, exports."""
    logging.set_verbosity(logging.WARNING)
    # TensorFlow takes seconds to load; --help should not wait for it.
    from jd_tf.data.batches import read_batches
    from jd_tf.serving.export.export_run import export_ranker
    from jd_tf.serving.export.refresh import compare, with_images
    from jd_tf.training.train import load_vectors
    from jd_tf.training.workdir import load_trained

    before = load_trained(_WORKDIR.value)
    vectors = load_vectors(_ITEM_VECTORS.value, before.schema)
    after = with_images(before, vectors)
    batches = read_batches(
        _DATA.value, _SPLIT.value, _BATCH_SIZE, schema=before.schema
    )
    report = compare(before, after, batches.take(_BATCHES.value))
    print(report.text())
    if report.wrongly_moved:
        print(
            "error: scores moved that see no other picture; nothing was "
            "written.",
            file=sys.stderr,
        )
        sys.exit(WRONGLY_MOVED)
    folder = export_ranker(
        after, _DATA.value, _WORKDIR.value, _OUTPUT.value, _NAME.value
    )
    print(f"exported: {folder}")


if __name__ == "__main__":
    program.run(main)
