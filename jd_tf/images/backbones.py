"""The networks an image tower can stand on, by name."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
from keras import applications, layers

# Repeats, kernel size, stride, expansion and filters of each stage of
# EfficientNet-B0 (Tan and Le, ICML 2019, table 1).
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def efficientnet_lite0(image_size: int) -> keras.Model:
    """Builds EfficientNet-B0 with ReLU6 and without squeeze-and-excitation.

    As published for mobile and edge devices; 3.4 million weights, 74.8 % top-1
    on ImageNet with the published ones. Layers stand in the order of the
    published PyTorch port, whose weights are read in that order.
    (B, image_size, image_size, 3) float -> (B, h, w, 1280), 32 times smaller.
    """
    images = keras.Input((image_size, image_size, 3), name="images")
    x = layers.ReLU(6.0)(_convolve(images, 32, 3, strides=2, name="stem"))
    number = 0
    for repeats, kernel_size, strides, expansion, filters in _STAGES:
        for repeat in range(repeats):
            name, entering = f"block_{number}", x
            number += 1
            if expansion > 1:
                wide = expansion * x.shape[-1]
                x = _convolve(x, wide, 1, name=f"{name}_expand")
                x = layers.ReLU(6.0)(x)
            x = layers.DepthwiseConv2D(
                kernel_size,
                1 if repeat else strides,
                padding="same",
                use_bias=False,
                depthwise_initializer="he_normal",
                name=f"{name}_depthwise_conv",
            )(x)
            x = layers.BatchNormalization(name=f"{name}_depthwise_norm")(x)
            x = layers.ReLU(6.0)(x)
            x = _convolve(x, filters, 1, name=f"{name}_project")
            if repeat:
                x = layers.Add(name=f"{name}_add")([x, entering])
    x = layers.ReLU(6.0)(_convolve(x, 1280, 1, name="head"))
    return keras.Model(images, x, name="efficientnet_lite0")


def small_cnn(image_size: int, alpha: float = 1.0) -> keras.Model:
    """Builds four residual blocks (He et al., CVPR 2016) behind a stem.

    Plain 3 x 3 convolutions rather than depthwise ones: on a processor they
    take less time an operation, and 1.2 million weights are enough to learn
    from thousands of images without published weights.
    (B, image_size, image_size, 3) float -> (B, h, w, 256 * alpha).
    """
    widths = [max(8, int(alpha * width)) for width in (32, 64, 128, 256)]
    images = keras.Input((image_size, image_size, 3), name="images")
    # Quick statistics: a run on thousands of images has few steps.
    quick: dict[str, Any] = {"momentum": 0.9}
    x = _convolve(images, widths[0], 3, 2, name="stem", **quick)
    x = layers.MaxPooling2D(3, 2, padding="same")(layers.ReLU()(x))
    for number, width in enumerate(widths):
        name, strides, shortcut = f"block_{number}", 1 + (number > 0), x
        if number:
            shortcut = _convolve(x, width, 1, 2, name=f"{name}_cut", **quick)
        x = _convolve(x, width, 3, strides, name=f"{name}_first", **quick)
        x = layers.ReLU()(x)
        x = _convolve(x, width, 3, name=f"{name}_second", **quick)
        x = layers.ReLU()(layers.Add()([x, shortcut]))
    return keras.Model(images, x, name="small_cnn")


def _convolve(
    x: keras.KerasTensor,
    filters: int,
    kernel_size: int,
    strides: int = 1,
    *,
    name: str,
    momentum: float = 0.99,
) -> keras.KerasTensor:
    x = layers.Conv2D(
        filters,
        kernel_size,
        strides,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    return layers.BatchNormalization(momentum=momentum, name=f"{name}_norm")(x)


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A network from pixels to a map of features.

    Attributes:
        create: (image_size, alpha, weights) -> the network; `weights` is None
            or, where `downloadable`, "imagenet".
        preprocess: pixels of 0 ... 255, RGB, as they were in pre-training.
        has_alpha: whether the width can be multiplied.
        downloadable: whether Keras knows where published weights are.
        min_image_size: smallest side it can read.
    """

    create: Callable[[int, float, str | None], keras.Model]
    preprocess: Callable[[Any], Any]
    has_alpha: bool = False
    downloadable: bool = True
    min_image_size: int = 32


def _published(network: Callable[..., keras.Model]) -> Any:

    def create(size: int, alpha: float, weights: str | None) -> keras.Model:
        options: dict[str, Any] = {} if alpha == 1.0 else {"alpha": alpha}
        options |= {"weights": weights, "input_shape": (size, size, 3)}
        return network(include_top=False, **options)

    return create


# Not EfficientNetB0: keras.applications puts a layer into it that depends on
# where its weights come from, so that a file of the published weights gives
# another network than the download of the same weights does.
BACKBONES = {
    "resnet101": Backbone(
        _published(applications.ResNet101), applications.resnet.preprocess_input
    ),
    "resnet50": Backbone(
        _published(applications.ResNet50), applications.resnet.preprocess_input
    ),
    "mobilenet_v2": Backbone(
        _published(applications.MobileNetV2),
        applications.mobilenet_v2.preprocess_input,
        has_alpha=True,
    ),
    "efficientnet_lite0": Backbone(
        lambda size, alpha, weights: efficientnet_lite0(size),
        lambda images: (images - 127.0) / 128.0,
        downloadable=False,
    ),
    "small_cnn": Backbone(
        lambda size, alpha, weights: small_cnn(size, alpha),
        lambda images: images / 127.5 - 1.0,
        has_alpha=True,
        downloadable=False,
        min_image_size=16,
    ),
}
