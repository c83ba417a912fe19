"""A live image tower becomes a version folder a model server can load."""

import dataclasses
import datetime
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from jd_tf.data.files import write_whole
from jd_tf.data.json_files import write_json
from jd_tf.images.image_tower import ImageTower
from jd_tf.serving.export.batching_parameters import (
    BATCHING_FILE,
    batching_parameters,
)
from jd_tf.serving.export.comparison import TOLERANCE
from jd_tf.serving.export.fresh_process import verify_elsewhere
from jd_tf.serving.export.image_signature import (
    IMAGE_BYTES,
    IMAGE_SIGNATURES,
    ServedImageTower,
)
from jd_tf.serving.export.model_card import (
    CARD_FILE,
    git_state,
    list_files,
    size_of,
)
from jd_tf.serving.export.recordings import (
    WARMUP_FILE,
    Recording,
    write_recordings,
)
from jd_tf.serving.export.versions import aside, publish
from jd_tf.serving.shape_buckets import BATCH_SIZES

NAME = "image_tower"
_VERIFIER = "jd_tf.serving.export.image_verify"
_NOISE = 20


def export_image_tower(
    tower: ImageTower,
    output_dir: str | Path,
    images: Sequence[bytes] = (),
    metrics: Mapping[str, Any] | None = None,
    tolerance: float = TOLERANCE,
    name: str = NAME,
) -> Path:
    """Writes, verifies and publishes the next version of an image tower.

    As for the ranker: the folder is written beside the versions, reloaded in
    a fresh process that replays recorded calls, and renamed only if its
    answers are the live model's. On any failure nothing stays behind.

    Args:
        tower: the live model.
        output_dir: the folder of all models, e.g. `saved_models`.
        images: files for the recorded calls, which also warm the server up;
            made up by default.
        metrics: written into the model card.
        tolerance: the largest relative difference let through.
        name: of the model, a folder in `output_dir`.

    Returns:
        `<output_dir>/<name>/<version>`.

    Raises:
        ExportError: if the SavedModel is not the live model, or a stock
            server could not run it.
    """
    served = ServedImageTower(tower)
    base = Path(output_dir) / name
    with aside(base) as folder:
        tf.saved_model.save(
            served.variables(),
            str(folder),
            signatures=served.functions(),
            options=tf.saved_model.SaveOptions(
                experimental_custom_gradients=False
            ),
        )
        with tf.device("CPU:0"):
            calls = _calls(served, images or made_up_images())
        write_recordings(folder / WARMUP_FILE, calls, name)
        write_whole(folder / BATCHING_FILE, batching_parameters().encode())
        report = verify_elsewhere(folder, tolerance, _VERIFIER)
        _write_card(folder, tower, name, report, metrics)
        return publish(folder, base)


def made_up_images() -> list[bytes]:
    """A JPEG, a grey PNG and no image: one of each path through the graph."""
    pixels = np.random.default_rng(_NOISE).integers(
        0, 255, (40, 30, 3), np.uint8
    )
    return [
        tf.io.encode_jpeg(pixels).numpy(),
        tf.io.encode_png(pixels[..., :1]).numpy(),
        b"",
    ]


def _calls(
    served: ServedImageTower, images: Sequence[bytes]
) -> list[Recording]:
    """Every signature on as many images as a server joins to a batch."""
    sizes = sorted({*BATCH_SIZES, min(len(images), BATCH_SIZES[-1])})
    batches = [
        list(itertools.islice(itertools.cycle(images), size)) for size in sizes
    ]
    return [
        Recording(
            signature,
            {IMAGE_BYTES: np.array(batch, object)},
            {
                name: tensor.numpy()
                for name, tensor in served.answer(signature, batch).items()
            },
        )
        for signature in IMAGE_SIGNATURES
        for batch in batches
    ]


def _write_card(
    folder: Path,
    tower: ImageTower,
    name: str,
    report: Mapping[str, Any],
    metrics: Mapping[str, Any] | None,
) -> None:
    now = datetime.datetime.now(datetime.timezone.utc)
    report = dict(report)
    files = list_files(folder)
    card = {
        "model": name,
        "created": now.isoformat(timespec="seconds"),
        "class": type(tower).__name__,
        "num_parameters": tower.count_params(),
        "config": dataclasses.asdict(tower.config),
        "label_names": list(tower.label_names),
        "metrics": metrics,
        "git": git_state(Path(__file__).parent),
        "versions": {
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
        },
        "signatures": report.pop("signatures"),
        "size": size_of(files, report["ops"]),
        "ops": report.pop("ops"),
        "verification": report,
        "files": files,
    }
    write_json(folder / CARD_FILE, card)
