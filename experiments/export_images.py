"""Exports a fine-tuned image tower as a SavedModel: JPEG bytes in, vector out.

    python -m experiments.export_images --workdir=runs/images

Writes `saved_models/image_tower/<next version>/`, verified in a fresh process;
nothing if that fails.
"""

from pathlib import Path

from absl import flags

from experiments import program

_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of experiments.finetune_images.", required=True
)
_OUTPUT = flags.DEFINE_string("output", "saved_models", "Folder of all models.")
_IMAGES = flags.DEFINE_list(
    "images",
    [],
    "Photos, separated by commas, for the calls that verify the export and "
    "warm a server up; made up by default.",
)
_TOLERANCE = flags.DEFINE_float(
    "tolerance",
    1e-5,
    "Largest relative difference between live and reloaded model.",
    lower_bound=0.0,
)


def main(_: object) -> None:
    """Exports and prints the new folder."""
    from jd_tf.data.files import read_json
    from jd_tf.evaluation.image_report import METRICS_FILE
    from jd_tf.images.decoding import check_image
    from jd_tf.images.image_tower import load_tower
    from jd_tf.schema import DataError
    from jd_tf.serving.export.image_export import export_image_tower

    tower = load_tower(_WORKDIR.value)
    for path in _IMAGES.value:
        reason = check_image(path)
        if reason:
            raise DataError(f"{path}: {reason}.")
    metrics = Path(_WORKDIR.value) / METRICS_FILE
    folder = export_image_tower(
        tower,
        _OUTPUT.value,
        [Path(path).read_bytes() for path in _IMAGES.value],
        read_json(metrics) if metrics.is_file() else None,
        _TOLERANCE.value,
    )
    print(f"exported: {folder}")


if __name__ == "__main__":
    program.run(main)
