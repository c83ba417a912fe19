"""The image tower: a photo becomes a vector and a product word."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from jd_tf.images.backbones import BACKBONES
from jd_tf.images.image_tower_config import ImageTowerConfig

__all__ = ["ImageTower", "ImageTowerConfig"]


@keras.saving.register_keras_serializable(package="jd_tf")
class ImageTower(keras.Model):
    """Embeds photos by learning which product word they show.

    A pre-trained network is fine-tuned on product words and its 64-d layer
    before the classifier becomes the item's image vector (JD.com's talk on
    ranking with images: ResNet-101, 64 dimensions). The vector is normalised
    to mean 0 and variance 1 over its own entries, so all vectors have the
    same length and the classifier can tell them apart by direction only:
    the cosine, by which vectors are compared later, is what was trained.

    A vector that has to tell cameras from glasses only may forget their
    colour. Where titles are known, a second classifier on the same vector
    learns the words of the title, and the vector keeps what they name.

    Preprocessing belongs to the model: it takes pixels as they are decoded.

    Args:
        config: size and kind, or their dict.
        label_names: C product words.
        title_words: W words of titles, or none.

    Call arguments:
        images: (B, image_size, image_size, 3) float in 0 ... 255, RGB.
        training: bool. Whether dropout is active.
        update_statistics: bool. Whether batch normalisation uses and tracks
            the statistics of the batch; by default, as `training`. False
            keeps the moving statistics, which a frozen backbone and very
            small batches need; where `backbone.trainable` is False, Keras
            keeps them too.

    Returns:
        dict of `embedding` (B, V), `logits` (B, C) and, if there are title
        words, `title_logits` (B, W).
    """

    def __init__(
        self,
        config: ImageTowerConfig | Mapping[str, Any],
        label_names: Sequence[str],
        title_words: Sequence[str] = (),
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not isinstance(config, ImageTowerConfig):
            config = ImageTowerConfig(**config)
        self.config = config
        self.label_names = tuple(label_names)
        if len(self.label_names) < 2:
            raise ValueError(
                "`label_names` must hold at least two product words. Got: "
                f"{self.label_names}."
            )
        self.title_words = tuple(title_words)
        kind = BACKBONES[config.backbone]
        self._preprocess = kind.preprocess
        self.backbone = kind.build(config.image_size, config.alpha, None)
        self.pooling = keras.layers.GlobalAveragePooling2D(name="pooling")
        self.dropout = keras.layers.Dropout(config.dropout_rate, name="dropout")
        self.embedding_head = keras.layers.Dense(
            config.embedding_dim, name="embedding_head"
        )
        self.normalization = keras.layers.LayerNormalization(
            center=False, scale=False, name="embedding_normalization"
        )
        self.classifier = keras.layers.Dense(
            len(self.label_names), name="classifier"
        )
        self.title_classifier = None
        if self.title_words:
            self.title_classifier = keras.layers.Dense(
                len(self.title_words), name="title_classifier"
            )
        # The config tells every shape, so all weights exist from here on.
        self.build()

    def build(self, input_shape: Any = None):
        features = self.backbone.output_shape
        pooled = (None, features[-1])
        embedding = (None, self.config.embedding_dim)
        self.pooling.build(features)
        self.dropout.build(pooled)
        self.embedding_head.build(pooled)
        self.normalization.build(embedding)
        self.classifier.build(embedding)
        if self.title_classifier is not None:
            self.title_classifier.build(embedding)
        self.built = True

    @property
    def head_layers(self) -> tuple[keras.layers.Layer, ...]:
        """What is new on top of the backbone."""
        head = self.embedding_head, self.normalization, self.classifier
        if self.title_classifier is None:
            return head
        return *head, self.title_classifier

    def call(
        self,
        images: Any,
        training: bool | None = None,
        update_statistics: bool | None = None,
    ) -> dict[str, Any]:
        if update_statistics is None:
            update_statistics = training
        features = self.backbone(
            self._preprocess(images), training=update_statistics
        )
        pooled = self.dropout(self.pooling(features), training=training)
        embedding = self.normalization(self.embedding_head(pooled))
        answer = {"embedding": embedding, "logits": self.classifier(embedding)}
        if self.title_classifier is not None:
            answer["title_logits"] = self.title_classifier(embedding)
        return answer

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "config": dataclasses.asdict(self.config),
            "label_names": list(self.label_names),
            "title_words": list(self.title_words),
        }
