"""The image tower: a photo becomes a vector and a product word."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from jd_tf.images.backbones import BACKBONES
from jd_tf.images.decoding import readable_images
from jd_tf.schema import DataError, SchemaError


@dataclasses.dataclass(frozen=True)
class ImageTowerConfig:
    """Size and kind of `ImageTower`.

    Attributes:
        backbone: a name of `BACKBONES`.
        image_size: pixels a side that images are resized to.
        alpha: width multiplier of the backbones that have one.
        embedding_dim: width V of the vector an image becomes.
        dropout_rate: dropout of the pooled features.

    Raises:
        SchemaError: naming the field and its value.
    """

    backbone: str = "resnet101"
    image_size: int = 224
    alpha: float = 1.0
    embedding_dim: int = 64
    dropout_rate: float = 0.2

    def __post_init__(self) -> None:
        name = self.backbone
        kind = BACKBONES.get(name, BACKBONES["small_cnn"])
        least = kind.min_image_size
        for field, right, wanted in (
            ("backbone", name in BACKBONES, f"one of {', '.join(BACKBONES)}"),
            (
                "image_size",
                self.image_size >= least,
                f"at least {least} for {name}",
            ),
            ("alpha", self.alpha > 0, "positive"),
            ("alpha", kind.has_alpha or self.alpha == 1, f"1 for {name}"),
            # One number normalised by itself is always 0.
            ("embedding_dim", self.embedding_dim >= 2, "at least 2"),
            ("dropout_rate", 0 <= self.dropout_rate < 1, "in [0, 1)"),
        ):
            if not right:
                value = getattr(self, field)
                text = f"`{field}` must be {wanted}. Got: {value!r}."
                raise SchemaError(text)


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

    Attributes:
        update_statistics: whether batch normalisation of the backbone uses
            and tracks the statistics of training batches; False keeps the
            moving ones, which small batches on published weights need.

    Call arguments:
        images: (B, image_size, image_size, 3) float in 0 ... 255, RGB.
        training: bool. Whether dropout is active.

    Returns:
        dict of `embedding` (B, V), `logits` (B, C) and, if there are title
        words, `title_logits` (B, W).

    Example:
    >>> config = ImageTowerConfig("small_cnn", image_size=16, alpha=0.25)
    >>> tower = ImageTower(config, ("hat", "shoe"))
    >>> outputs = tower(np.zeros((3, 16, 16, 3), "float32"))
    >>> tuple(outputs["embedding"].shape), tuple(outputs["logits"].shape)
    ((3, 64), (3, 2))

    References:
        - He et al., Deep Residual Learning for Image Recognition, CVPR 2016.
    """

    # The name that model cards give.
    registered_name = "image_tower"

    def __init__(
        self,
        config: ImageTowerConfig | Mapping[str, Any],
        label_names: Sequence[str],
        title_words: Sequence[str] = (),
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if not isinstance(config, ImageTowerConfig):
            config = ImageTowerConfig(**config)
        self.config = config
        self.label_names = tuple(label_names)
        self.title_words = tuple(title_words)
        if len(self.label_names) < 2:
            raise ValueError(
                "`label_names` must hold at least two product words. Got: "
                f"{self.label_names}."
            )
        self.update_statistics = True
        layers, size = keras.layers, config.image_size
        kind = BACKBONES[config.backbone]
        self._preprocess = kind.preprocess
        self.backbone = kind.create(size, config.alpha, None)
        self.pooling = layers.GlobalAveragePooling2D(name="pooling")
        self.dropout = layers.Dropout(config.dropout_rate, name="dropout")
        self.embedding_head = layers.Dense(
            config.embedding_dim, name="embedding_head"
        )
        self.normalization = layers.LayerNormalization(
            center=False, scale=False, name="embedding_normalization"
        )
        words = {"logits": self.label_names, "title_logits": self.title_words}
        self.classifiers = {
            name: layers.Dense(len(known), name=name)
            for name, known in words.items()
            if known
        }
        # The config gives every shape, so all weights exist from here on.
        self(keras.Input((size, size, 3)))

    def call(self, images: Any, training: bool | None = None) -> dict[str, Any]:
        features = self.backbone(
            self._preprocess(images),
            training=bool(training) and self.update_statistics,
        )
        pooled = self.dropout(self.pooling(features), training=training)
        embedding = self.normalization(self.embedding_head(pooled))
        heads = {
            name: head(embedding) for name, head in self.classifiers.items()
        }
        return {"embedding": embedding, **heads}

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "config": dataclasses.asdict(self.config),
            "label_names": list(self.label_names),
            "title_words": list(self.title_words),
        }

    def outputs_of(
        self, paths: Sequence[str], batch_size: int = 64, num_threads: int = 2
    ) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """Yields places in `paths`, (B,) int64, and outputs, if readable."""
        size = self.config.image_size
        for places, images in readable_images(
            paths, size, batch_size, num_threads
        ):
            yield places.numpy(), self.predict_on_batch(images)


def save_tower(tower: ImageTower, workdir: Path, weights: str) -> None:
    """Writes the tower that `load_tower` reads, whole or not at all."""
    workdir.mkdir(parents=True, exist_ok=True)
    aside = workdir / f".{weights}.keras"
    tower.save(aside)
    aside.replace(workdir / f"{weights}.keras")


def load_tower(workdir: str | Path, weights: str = "best") -> ImageTower:
    """Loads the tower of a fine-tuning run.

    Args:
        workdir: of `experiments.finetune_images`.
        weights: "best", "last" or "initial", those before the first step.

    Raises:
        DataError: if the folder holds none, or the file is damaged.
    """
    path = Path(workdir) / f"{weights}.keras"
    if not path.is_file():
        raise DataError(
            f"{path}: missing; {workdir} holds no training run of an image "
            "tower. Make one with `python -m experiments.finetune_images`."
        )
    try:
        tower = keras.saving.load_model(path, compile=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise DataError(f"{path}: cannot be loaded: {reason}") from error
    if not isinstance(tower, ImageTower):
        raise DataError(f"{path}: holds a {type(tower).__name__}, no tower.")
    return tower
