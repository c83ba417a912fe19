"""Reads arrays out of a PyTorch weight file, without PyTorch.

The format before PyTorch 1.6: five pickles, then the numbers. A pickle can
name any function to be called; here it gets the handful that rebuild a
tensor, and a file that names another is refused.
"""

import collections
import pickle
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from jd_tf.schema import DataError

_MAGIC = 0x1950A86A20F9469CFC6C
_DTYPES = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
}


def read_torch_weights(path: str | Path) -> dict[str, np.ndarray]:
    """Reads a state dictionary.

    Args:
        path: written by `torch.save(model.state_dict(), path)`, in the format
            without zip.

    Returns:
        Arrays by name.

    Raises:
        DataError: if the file is another format, cut off, or its pickle asks
            for anything but tensors.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            return _read(file, path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}.") from error
    except (EOFError, pickle.UnpicklingError, ValueError, KeyError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{path}: not a PyTorch state dictionary in the format before "
            f"1.6, or cut off: {error!r}."
        ) from error


def _read(file: BinaryIO, path: Path) -> dict[str, np.ndarray]:
    if _Tensors(file, path).load() != _MAGIC:
        raise DataError(f"{path}: no PyTorch file in the format before 1.6.")
    # Protocol version and the machine it was written on.
    for _ in range(2):
        _Tensors(file, path).load()
    unpickler = _Tensors(file, path)
    named = unpickler.load()
    storages = {}
    for key in _Tensors(file, path).load():
        dtype, length = unpickler.storages[key]
        found = int.from_bytes(file.read(8), "little")
        if found != length:
            raise DataError(
                f"{path}: storage {key} has {found} numbers, not {length}: cut "
                "off or changed."
            )
        content = file.read(length * dtype.itemsize)
        storages[key] = np.frombuffer(content, dtype, length)
    return {name: view.of(storages) for name, view in named.items()}


class _View:
    """A tensor: a part of a storage that is read later in the file."""

    def __init__(
        self, key: str, offset: int, shape: Any, strides: Any, *_: Any
    ):
        self.key, self.offset = key, offset
        self.shape, self.strides = tuple(shape), tuple(strides)

    def of(self, storages: dict[str, np.ndarray]) -> np.ndarray:
        if min((self.offset, *self.strides)) < 0:
            raise ValueError(f"a tensor begins before storage {self.key}")
        storage = storages[self.key][self.offset :]
        last = sum(
            (size - 1) * stride
            for size, stride in zip(self.shape, self.strides, strict=True)
        )
        if last >= len(storage):
            raise ValueError(f"a tensor reaches past storage {self.key}")
        strides = [stride * storage.itemsize for stride in self.strides]
        view = np.lib.stride_tricks.as_strided(storage, self.shape, strides)
        return view.copy()


class _Tensors(pickle.Unpickler):
    """Unpickles tensors and plain containers, nothing else."""

    def __init__(self, file: BinaryIO, path: Path):
        super().__init__(file)
        self._path = path
        self.storages: dict[str, tuple[np.dtype, int]] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _View
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        raise DataError(
            f"{self._path}: asks for {module}.{name}, which is no part of a "
            "tensor: refused."
        )

    def persistent_load(self, saved: Any) -> str:
        _, dtype, key, _, length, _ = saved
        self.storages[key] = (dtype, length)
        return key
