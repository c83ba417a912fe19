"""The networks an image tower can stand on, by name."""

import dataclasses
from collections.abc import Callable

import keras
from keras import ops

from jd_tf.images.efficientnet_lite import efficientnet_lite0
from jd_tf.images.small_image_net import small_image_net

Build = Callable[[int, float, str | None], keras.Model]


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A network from pixels to a map of features.

    Attributes:
        build: (image_size, alpha, weights) -> the network; `weights` is None
            or, where `downloadable`, "imagenet".
        scale: pixels of 0 ... 255 are multiplied by this ...
        offset: ... and this is added, a channel, as it was in pre-training.
        blue_first: whether channels are reversed, as Caffe had them.
        has_alpha: whether the width can be multiplied.
        downloadable: whether Keras knows where published weights are.
        min_image_size: smallest side it can read.
    """

    build: Build
    scale: float = 1 / 127.5
    offset: tuple[float, float, float] = (-1.0, -1.0, -1.0)
    blue_first: bool = False
    has_alpha: bool = False
    downloadable: bool = True
    min_image_size: int = 32

    def preprocess(self, images: keras.KerasTensor) -> keras.KerasTensor:
        """Pixels as the network wants them.

        Args:
            images: (..., 3) float in 0 ... 255, RGB.

        Returns:
            The same shape.
        """
        if self.blue_first:
            images = ops.flip(images, axis=-1)
        offset = ops.convert_to_tensor(self.offset, images.dtype)
        return images * self.scale + offset


def _resnet101(image_size: int, alpha: float, weights: str | None):
    return keras.applications.ResNet101(
        include_top=False,
        weights=weights,
        input_shape=(image_size, image_size, 3),
        name="resnet101",
    )


def _resnet50(image_size: int, alpha: float, weights: str | None):
    return keras.applications.ResNet50(
        include_top=False,
        weights=weights,
        input_shape=(image_size, image_size, 3),
        name="resnet50",
    )


def _mobilenet_v2(image_size: int, alpha: float, weights: str | None):
    return keras.applications.MobileNetV2(
        include_top=False,
        weights=weights,
        input_shape=(image_size, image_size, 3),
        alpha=alpha,
        name="mobilenet_v2",
    )


def _efficientnet_lite0(image_size: int, alpha: float, weights: str | None):
    return efficientnet_lite0(image_size)


def _small_cnn(image_size: int, alpha: float, weights: str | None):
    return small_image_net(image_size, alpha)


# Means of ImageNet, blue first: what the published ResNets subtract.
_CAFFE = {
    "scale": 1.0,
    "offset": (-103.939, -116.779, -123.68),
    "blue_first": True,
}
# Not EfficientNetB0: keras.applications puts a layer into it that depends on
# where its weights come from, so that a file of the published weights gives
# another network than the download of the same weights does.
BACKBONES = {
    "resnet101": Backbone(_resnet101, **_CAFFE),
    "resnet50": Backbone(_resnet50, **_CAFFE),
    "mobilenet_v2": Backbone(_mobilenet_v2, has_alpha=True),
    "efficientnet_lite0": Backbone(
        _efficientnet_lite0,
        scale=1 / 128,
        offset=(-127 / 128,) * 3,
        downloadable=False,
    ),
    "small_cnn": Backbone(
        _small_cnn, has_alpha=True, downloadable=False, min_image_size=16
    ),
}
