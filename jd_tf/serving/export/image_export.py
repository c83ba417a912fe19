"""A live image tower becomes a version folder a model server can load."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from jd_tf.images.image_tower import ImageTower
from jd_tf.serving.batching import BATCH_SIZES
from jd_tf.serving.export.exporting import export_served
from jd_tf.serving.export.image_signature import ServedImageTower
from jd_tf.serving.export.recordings import Recording
from jd_tf.serving.export.verification.comparison import TOLERANCE
from jd_tf.serving.signature_names import IMAGE_BYTES, IMAGE_SIGNATURES

NAME = "image_tower"
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
    return export_served(
        served,
        tower,
        output_dir,
        name,
        lambda _: _calls(served, images or made_up_images()),
        tolerance,
        {"label_names": list(tower.label_names), "metrics": metrics},
    )


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
