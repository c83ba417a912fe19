"""What a person may change about the image tower."""

import dataclasses

from jd_tf.images.backbones import BACKBONES
from jd_tf.schema import SchemaError


@dataclasses.dataclass(frozen=True)
class ImageTowerConfig:
    """Size and kind of `ImageTower`.

    Attributes:
        backbone: a name of `image_backbones.BACKBONES`.
        image_size: pixels a side that images are resized to.
        alpha: width multiplier of the backbones that have one.
        embedding_dim: width V of the vector an image becomes.
        dropout_rate: dropout of the pooled features.
    """

    backbone: str = "resnet101"
    image_size: int = 224
    alpha: float = 1.0
    embedding_dim: int = 64
    dropout_rate: float = 0.2

    def __post_init__(self) -> None:
        if self.backbone not in BACKBONES:
            self._refuse("backbone", f"one of {', '.join(BACKBONES)}")
        backbone = BACKBONES[self.backbone]
        if self.image_size < backbone.min_image_size:
            self._refuse(
                "image_size",
                f"at least {backbone.min_image_size} for {self.backbone}",
            )
        if self.alpha <= 0:
            self._refuse("alpha", "positive")
        if self.alpha != 1 and not backbone.has_alpha:
            self._refuse("alpha", f"1 for {self.backbone}, which has one width")
        if self.embedding_dim < 2:
            # One number normalised by itself is always 0.
            self._refuse("embedding_dim", "at least 2")
        if not 0 <= self.dropout_rate < 1:
            self._refuse("dropout_rate", "in [0, 1)")

    def _refuse(self, name: str, wanted: str) -> None:
        raise SchemaError(
            f"`{name}` must be {wanted}. Got: {getattr(self, name)!r}."
        )
