"""EfficientNet-Lite0: a mobile network without what is slow on processors."""

import keras
from keras import layers

# Repeats, kernel size, stride, expansion and filters of each stage
# (Tan and Le, ICML 2019, table 1).
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM_FILTERS = 32
_HEAD_FILTERS = 1280
_BATCH_NORM = {"momentum": 0.99, "epsilon": 1e-3}


def efficientnet_lite0(image_size: int) -> keras.Model:
    """EfficientNet-B0 with ReLU6 and without squeeze-and-excitation.

    As published for mobile and edge devices; 3.4 million weights, 74.8 % top-1
    on ImageNet with the published ones.

    Args:
        image_size: pixels a side.

    Returns:
        (B, image_size, image_size, 3) float -> (B, h, w, 1280), 32 times
        smaller. Layers are named after their block.
    """
    images = keras.Input((image_size, image_size, 3), name="images")
    x = _convolve(images, _STEM_FILTERS, "stem", 3, strides=2)
    x = layers.ReLU(6.0, name="stem_relu")(x)
    number = 0
    for repeats, kernel_size, strides, expansion, filters in _STAGES:
        for repeat in range(repeats):
            x = _block(
                x,
                f"block_{number}",
                kernel_size,
                strides if repeat == 0 else 1,
                expansion,
                filters,
            )
            number += 1
    x = _convolve(x, _HEAD_FILTERS, "head", 1)
    x = layers.ReLU(6.0, name="head_relu")(x)
    return keras.Model(images, x, name="efficientnet_lite0")


def _block(
    x: keras.KerasTensor,
    name: str,
    kernel_size: int,
    strides: int,
    expansion: int,
    filters: int,
) -> keras.KerasTensor:
    """Widen, look around a channel at a time, narrow."""
    entering = x
    if expansion > 1:
        x = _convolve(x, expansion * x.shape[-1], f"{name}_expand", 1)
        x = layers.ReLU(6.0, name=f"{name}_expand_relu")(x)
    x = layers.DepthwiseConv2D(
        kernel_size,
        strides,
        padding="same",
        use_bias=False,
        depthwise_initializer="he_normal",
        name=f"{name}_depthwise_conv",
    )(x)
    x = layers.BatchNormalization(name=f"{name}_depthwise_norm", **_BATCH_NORM)(
        x
    )
    x = layers.ReLU(6.0, name=f"{name}_depthwise_relu")(x)
    x = _convolve(x, filters, f"{name}_project", 1)
    if strides == 1 and entering.shape[-1] == filters:
        x = layers.Add(name=f"{name}_add")([x, entering])
    return x


def _convolve(
    x: keras.KerasTensor,
    filters: int,
    name: str,
    kernel_size: int,
    strides: int = 1,
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
    return layers.BatchNormalization(name=f"{name}_norm", **_BATCH_NORM)(x)
