"""A small residual network that learns from nothing on two cores."""

import keras
from keras import layers

_FILTERS = (32, 64, 128, 256)
# Quick statistics: a run on thousands of images has few steps.
_BATCH_NORM = {"momentum": 0.9, "epsilon": 1e-3}
_CONVOLUTION = {
    "padding": "same",
    "use_bias": False,
    "kernel_initializer": "he_normal",
}


def small_image_net(image_size: int, alpha: float = 1.0) -> keras.Model:
    """Four residual blocks (He et al., CVPR 2016) behind a stem of stride 4.

    Plain 3 x 3 convolutions rather than depthwise ones: on a processor they
    take less time an operation, and 1.2 million weights are enough for
    thousands of images. About 65 million multiplications an image of 128
    pixels a side, half of them for 96.

    Args:
        image_size: pixels a side.
        alpha: multiplies the width of every layer.

    Returns:
        (B, image_size, image_size, 3) float -> (B, h, w, 256 * alpha).
    """
    filters = [max(8, int(alpha * width)) for width in _FILTERS]
    images = keras.Input((image_size, image_size, 3), name="images")
    x = _convolve(images, filters[0], "stem", strides=2)
    x = layers.Activation("relu", name="stem_relu")(x)
    x = layers.MaxPooling2D(3, 2, padding="same", name="stem_pool")(x)
    for number, width in enumerate(filters):
        x = _block(x, width, f"block_{number}", strides=1 + (number > 0))
    return keras.Model(images, x, name="small_cnn")


def _block(
    x: keras.KerasTensor, filters: int, name: str, strides: int
) -> keras.KerasTensor:
    shortcut = x
    if strides > 1:
        shortcut = _convolve(
            x, filters, f"{name}_shortcut", strides=strides, kernel_size=1
        )
    x = _convolve(x, filters, f"{name}_first", strides=strides)
    x = layers.Activation("relu", name=f"{name}_first_relu")(x)
    x = _convolve(x, filters, f"{name}_second")
    x = layers.Add(name=f"{name}_add")([x, shortcut])
    return layers.Activation("relu", name=f"{name}_relu")(x)


def _convolve(
    x: keras.KerasTensor,
    filters: int,
    name: str,
    strides: int = 1,
    kernel_size: int = 3,
) -> keras.KerasTensor:
    x = layers.Conv2D(
        filters, kernel_size, strides, name=f"{name}_conv", **_CONVOLUTION
    )(x)
    return layers.BatchNormalization(name=f"{name}_norm", **_BATCH_NORM)(x)
