"""Fine-tunes an image tower on product words; run again, it goes on.

    python -m experiments.finetune_images --data=PHOTOS --workdir=runs/images \
        --backbone=efficientnet_lite0 --image_size=128

PHOTOS is a folder of train, validation and test folders with one folder a
product word, one such folder alone, or a CSV file with the columns path, word
and perhaps split. Published weights come from --weights_file, from an
installed package (efficientnet_lite0), or, only if asked for, from the
network; otherwise the backbone learns from scratch, and says so.

Writes to the work folder: config.json, history.json, the towers best.keras,
last.keras and initial.keras (before the first step), backups, summaries/
(TensorBoard), broken_images.csv, metrics.json and report.html.

Exit codes: 0 done; 2 unusable input; 3 the loss is NaN or infinite; 130 and
143 stopped by Ctrl-C or SIGTERM: run again to go on with the newest backup.
"""

import dataclasses
import signal
import sys
from pathlib import Path
from typing import Any

from absl import flags

from experiments import program

# Not imported from the config, so that --help does not wait for TensorFlow.
_BACKBONES = (
    "resnet101",
    "resnet50",
    "mobilenet_v2",
    "efficientnet_lite0",
    "small_cnn",
)
_DATA = flags.DEFINE_string(
    "data", None, "Folder or CSV file of photos.", required=True
)
_WORD_COLUMN = flags.DEFINE_string(
    "word_column", "word", "Column of the CSV file that holds product words."
)
_TITLE_COLUMN = flags.DEFINE_string(
    "title_column",
    "",
    "Column of the CSV file that holds titles, whose words are learned beside "
    "the product word, so that the vector keeps colours and patterns; empty: "
    "none.",
)
_WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "Folder of the run; resumed if there is one.",
    required=True,
)
_WEIGHTS_FILE = flags.DEFINE_string(
    "weights_file",
    "",
    "Published weights without top layers: .h5 of Keras; for "
    "efficientnet_lite0 also the .pth of its PyTorch port.",
)
_DOWNLOAD = flags.DEFINE_bool(
    "download_weights", False, "Let Keras download published weights."
)
_LIMIT = flags.DEFINE_integer(
    "limit", 0, "Use so many images a split, for a try; 0: all.", lower_bound=0
)
_MODEL = (
    flags.DEFINE_enum("backbone", None, _BACKBONES, "Network. [resnet101]"),
    flags.DEFINE_integer("image_size", None, "Pixels a side. [224]"),
    flags.DEFINE_float("alpha", None, "Width multiplier, where there is one."),
    flags.DEFINE_float("dropout_rate", None, "Of the pooled features. [0.2]"),
)
_TRAINING = (
    flags.DEFINE_integer(
        "frozen_epochs",
        None,
        "Passes in which only the head learns. [2; 0 from scratch]",
    ),
    flags.DEFINE_integer(
        "epochs",
        None,
        "Passes in which everything learns. [6; 40 from scratch]",
    ),
    flags.DEFINE_integer("batch_size", None, "Images a batch. [32]"),
    flags.DEFINE_float("learning_rate", None, "Of the head. [0.001]"),
    flags.DEFINE_float(
        "backbone_learning_rate",
        None,
        "Of the backbone. [0.0002; 0.001 from scratch]",
    ),
    flags.DEFINE_float("weight_decay", None, "Decoupled, of kernels."),
    flags.DEFINE_bool(
        "update_statistics",
        None,
        "Whether batch normalisation learns new statistics. [no; yes from "
        "scratch]",
    ),
    flags.DEFINE_float("label_smoothing", None, "Share of a label. [0.1]"),
    flags.DEFINE_float(
        "title_share", None, "Share of the loss of titles' words. [0.5]"
    ),
    flags.DEFINE_integer(
        "min_title_images",
        None,
        "Titles that a word must stand in to be learned. [20]",
    ),
    flags.DEFINE_float(
        "class_balance",
        None,
        "0: every image counts once; 1: every product word equally. [0.5]",
    ),
    flags.DEFINE_float(
        "min_area",
        None,
        "Smallest share of an image shown in training. [0.5; 0.4 from scratch]",
    ),
    flags.DEFINE_string("monitor", None, "Metric that decides what is best."),
    flags.DEFINE_float("checkpoint_minutes", None, "Between backups. [5]"),
    flags.DEFINE_float(
        "time_limit_seconds", None, "Stop after these; 0: none."
    ),
    flags.DEFINE_integer("num_threads", None, "Images decoded at a time. [2]"),
    flags.DEFINE_integer("seed", None, "Of everything drawn at random. [17]"),
)


def main(_: object) -> int | None:
    """Fine-tunes, evaluates, writes the page."""
    import keras

    from jd_tf.evaluation.image_report import REPORT_FILE, report_image_run
    from jd_tf.images.fine_tuning import NotFiniteError, fine_tune, read_run
    from jd_tf.images.fine_tuning_config import (
        FineTuningConfig,
        default_fine_tuning,
    )
    from jd_tf.images.image_list import read_labelled
    from jd_tf.images.image_tower import ImageTower, ImageTowerConfig
    from jd_tf.images.published_weights import start_weights
    from jd_tf.images.training_images import frequent_words, usable_images
    from jd_tf.schema import DataError

    workdir = Path(_WORKDIR.value)
    stored = read_run(workdir)
    known = {f.name for f in dataclasses.fields(ImageTowerConfig)}
    model = {k: v for k, v in stored.get("model", {}).items() if k in known}
    chosen = {**stored.get("training", {}), **_given(_TRAINING)}
    chosen["progress"] = program.PROGRESS.value
    settings = FineTuningConfig(**{"weights": "unknown", **chosen})
    sets = read_labelled(_DATA.value, _WORD_COLUMN.value, _TITLE_COLUMN.value)
    if _LIMIT.value:
        sets = {s: _spread(images, _LIMIT.value) for s, images in sets.items()}
    keras.utils.set_random_seed(settings.seed)
    words = frequent_words(sets["train"].titles, settings.min_title_images)
    if _TITLE_COLUMN.value and not words:
        raise DataError(
            f"{_DATA.value}: no word stands in enough titles of column "
            f"{_TITLE_COLUMN.value!r}. Lower --min_title_images."
        )
    tower = ImageTower(
        ImageTowerConfig(**{**model, **_given(_MODEL)}),
        sets["train"].label_names,
        words,
    )
    sets, num_broken = usable_images(
        sets,
        workdir,
        tower.config.image_size,
        settings.num_threads,
        settings.progress,
    )
    if stored:
        weights = stored["training"]["weights"]
        note = f"going on with a run that began from {weights or 'scratch'}"
    else:
        weights, note = start_weights(
            tower, _WEIGHTS_FILE.value, _DOWNLOAD.value
        )
    print(note, file=sys.stderr)
    config = default_fine_tuning(weights)
    config = dataclasses.replace(config, **{**chosen, "weights": weights})
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        history = fine_tune(
            tower, config, workdir, sets["train"], sets["validation"]
        )
    except NotFiniteError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    notes = [note[0].upper() + note[1:] + "."]
    if num_broken:
        notes.append(f"{num_broken} images could not be read and are left out.")
    found = report_image_run(workdir, tower, sets, history, notes)
    print(f"trained {len(history)} epochs in {history[-1]['seconds']:.0f} s")
    for split, metrics in found.items():
        values = ", ".join(
            f"{name} {metrics[name]:.4f}"
            for name in ("top1", "top5", "mean_recall", "loss")
            if metrics[name] is not None
        )
        print(f"{split} ({metrics['num_images']} images): {values}")
    print(f"report: {workdir / REPORT_FILE}")
    return None


def _spread(images: Any, limit: int) -> Any:
    """So many images, from all words alike."""
    if len(images) <= limit:
        return images
    step = len(images) / limit
    return images.take([int(step * place) for place in range(limit)])


def _given(defined: tuple[Any, ...]) -> dict[str, Any]:
    """The flags that were set at the prompt."""
    return {f.name: f.value for f in defined if f.value is not None}


if __name__ == "__main__":
    program.run(main)
