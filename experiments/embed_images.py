"""Embeds the photos of a catalogue; run again, it goes on.

    python -m experiments.embed_images --workdir=runs/images \
        --catalogue=PHOTOS --output=runs/item_vectors.npz

PHOTOS is a folder of files named after their item, or a CSV file with the
columns item_id and path. Writes the `.npz` with `item_ids` and `vectors`, and
`<output>.no_image.csv`: the items without a readable photo, and why.

Exit codes: 0 done; 2 unusable input; 130 and 143 stopped by Ctrl-C or
SIGTERM: finished chunks wait in `<output>.parts/` for the next run.
"""

import signal
import sys
from typing import Any

from absl import flags

from experiments import program

_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of experiments.finetune_images.", required=True
)
_CATALOGUE = flags.DEFINE_string(
    "catalogue", None, "Folder or CSV file of items.", required=True
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "File to write, ending in .npz.", required=True
)
_WEIGHTS = flags.DEFINE_enum(
    "weights",
    "best",
    ("best", "last", "initial"),
    "Weights of the run: initial are those before the first step, to see what "
    "fine-tuning changed.",
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", 64, "Images a batch.", lower_bound=1
)
_CHUNK_SIZE = flags.DEFINE_integer(
    "chunk_size", 2048, "Items a chunk: what a kill can cost.", lower_bound=1
)
_NUM_THREADS = flags.DEFINE_integer(
    "num_threads", 2, "Images decoded at a time.", lower_bound=1
)
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace --output.")


def main(_: object) -> int | None:
    """Embeds and prints the rate."""
    import dataclasses

    from jd_tf.images.embedding import NO_IMAGE_SUFFIX, embed_catalogue
    from jd_tf.images.image_list import read_catalogue
    from jd_tf.images.image_tower import load_tower
    from jd_tf.schema import DataError

    if not _OUTPUT.value.endswith(".npz"):
        raise DataError(f"--output must end in .npz. Got: {_OUTPUT.value}.")
    catalogue = read_catalogue(_CATALOGUE.value)
    tower = load_tower(_WORKDIR.value, _WEIGHTS.value)
    meta = {
        **dataclasses.asdict(tower.config),
        "weights": _WEIGHTS.value,
        "checksum": weights_checksum(tower),
    }
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        report = embed_catalogue(
            tower,
            catalogue,
            _OUTPUT.value,
            meta,
            _BATCH_SIZE.value,
            _CHUNK_SIZE.value,
            _NUM_THREADS.value,
            _OVERWRITE.value,
            program.PROGRESS.value,
        )
    except KeyboardInterrupt:
        print("stopped; run again to go on")
        return 128 + signal.SIGINT
    done = report.num_embedded + report.num_without - report.num_resumed
    print(
        f"{report.num_embedded:,} items embedded, {report.num_without:,} "
        f"without image; {done / report.seconds:,.1f} images/s in "
        f"{report.seconds:.1f} s"
    )
    if report.num_resumed:
        print(f"{report.num_resumed:,} of them by earlier sessions")
    print(f"vectors: {_OUTPUT.value}")
    print(f"without image: {_OUTPUT.value}{NO_IMAGE_SUFFIX}")
    return None


def weights_checksum(tower: Any) -> str:
    """Returns what tells two trainings of one configuration apart."""
    import hashlib

    digest = hashlib.sha256()
    for value in tower.get_weights():
        digest.update(value.tobytes())
    return digest.hexdigest()[:16]


if __name__ == "__main__":
    program.run(main)
