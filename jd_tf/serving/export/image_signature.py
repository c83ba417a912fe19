"""The functions a served image tower answers with: bytes in, vector out."""

from typing import Any

import tensorflow as tf

from jd_tf.images.decoding import load_images
from jd_tf.serving.export.signatures import exported_state
from jd_tf.serving.signature_names import (
    CLASSIFY,
    IMAGE_BYTES,
    SERVING_DEFAULT,
)

EMBEDDING, IS_IMAGE = "embedding", "is_image"
PROBABILITIES = "probabilities"


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

    Args:
        tower: an `ImageTower`.
    """

    def __init__(self, tower: Any):
        self._tower = tower

    def variables(self) -> tf.Module:
        """Holds what the functions read, without optimizers."""
        return exported_state(
            self._tower.layers, self._tower.weights, "served_image_tower"
        )

    def functions(self) -> dict[str, Any]:
        """Traces the signatures: concrete functions by name."""
        spec = {IMAGE_BYTES: tf.TensorSpec((None,), tf.string, IMAGE_BYTES)}
        return {
            name: tf.function(function, autograph=False).get_concrete_function(
                **spec
            )
            for name, function in self._answers().items()
        }

    def answer(self, signature: str, image_bytes: Any) -> dict[str, tf.Tensor]:
        """Returns the answer of the live model, without a SavedModel.

        Args:
            signature: one of `IMAGE_SIGNATURES`.
            image_bytes: (B,) bytes.
        """
        contents = tf.constant(image_bytes, tf.string)
        return self._answers()[signature](image_bytes=contents)

    def _answers(self) -> dict[str, Any]:
        return {SERVING_DEFAULT: self._embed, CLASSIFY: self._classify}

    def _embed(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs, present = self._run(image_bytes)
        embedding = tf.where(present[:, None], outputs["embedding"], 0.0)
        return {EMBEDDING: embedding, IS_IMAGE: tf.identity(present)}

    def _classify(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs, present = self._run(image_bytes)
        logits = tf.where(present[:, None], outputs["logits"], 0.0)
        return {
            PROBABILITIES: tf.nn.softmax(logits),
            IS_IMAGE: tf.identity(present),
        }

    def _run(self, image_bytes: tf.Tensor) -> tuple[dict[str, Any], tf.Tensor]:
        # Decoding has no kernels for accelerators.
        with tf.device("CPU:0"):
            images, present = load_images(
                image_bytes, self._tower.config.image_size
            )
        return self._tower(images, training=False), present
