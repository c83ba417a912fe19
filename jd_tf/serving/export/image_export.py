"""A live image tower becomes a version folder a model server can load."""

import functools
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from jd_tf.images.decoding import load_images
from jd_tf.images.image_tower import ImageTower
from jd_tf.serving.batching import BATCH_SIZES
from jd_tf.serving.export.exporting import export_served
from jd_tf.serving.export.recordings import Recording
from jd_tf.serving.export.signatures import exported_state
from jd_tf.serving.export.verification.comparison import TOLERANCE
from jd_tf.serving.signature_names import (
    CLASSIFY,
    IMAGE_BYTES,
    IMAGE_SIGNATURES,
    SERVING_DEFAULT,
)

NAME = "image_tower"


class ServedImageTower:
    """A tower as it is served.

    Both signatures take `image_bytes` (B,) string, the files as they are:
    JPEG, PNG, GIF or BMP, decoded and resized by the code that training
    uses, on the processor.

    `serving_default` answers `embedding` (B, V) float32 and `is_image` (B,)
    bool: bytes that do not even start like an image, none at all among them,
    get zeros and False. `classify` answers `probabilities` (B, C) of the
    product words and `is_image`; without an image every word is as likely.
    An image that is cut off or damaged inside fails the call: the server
    answers INVALID_ARGUMENT.
    """

    def __init__(self, tower: ImageTower):
        self._tower = tower

    def variables(self) -> tf.Module:
        """Holds what the functions read, without optimizers."""
        return exported_state(
            self._tower.layers, self._tower.weights, "served_image_tower"
        )

    def functions(self) -> dict[str, Any]:
        """Traces the signatures: concrete functions by name."""
        traced: Any = functools.partial(tf.function, autograph=False)
        spec = {IMAGE_BYTES: tf.TensorSpec((None,), tf.string, IMAGE_BYTES)}
        return {
            name: traced(function).get_concrete_function(**spec)
            for name, function in self._answers().items()
        }

    def answer(self, signature: str, image_bytes: Any) -> dict[str, tf.Tensor]:
        """Returns the answer of the live model, without a SavedModel."""
        contents = tf.constant(image_bytes, tf.string)
        return self._answers()[signature](image_bytes=contents)

    def _answers(self) -> dict[str, Any]:
        return {SERVING_DEFAULT: self._embed, CLASSIFY: self._classify}

    def _embed(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs, present = self._run(image_bytes)
        embedding = tf.where(present[:, None], outputs["embedding"], 0.0)
        return {"embedding": embedding, "is_image": tf.identity(present)}

    def _classify(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs, present = self._run(image_bytes)
        logits = tf.where(present[:, None], outputs["logits"], 0.0)
        probabilities = tf.nn.softmax(logits)
        return {
            "probabilities": probabilities,
            "is_image": tf.identity(present),
        }

    def _run(self, image_bytes: tf.Tensor) -> tuple[dict[str, Any], tf.Tensor]:
        # Decoding has no kernels for accelerators.
        with tf.device("CPU:0"):
            images, present = load_images(
                image_bytes, self._tower.config.image_size
            )
        return self._tower(images, training=False), present


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
        lambda _: _calls(served, images or _made_up_images()),
        tolerance,
        {"label_names": list(tower.label_names), "metrics": metrics},
    )


def _made_up_images() -> list[bytes]:
    """A JPEG, a grey PNG and no image: one of each path through the graph."""
    rng = np.random.default_rng(20)
    pixels = rng.integers(0, 255, (40, 30, 3), np.uint8)
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
