"""NumPy arrays to TensorProtos and back, without a list in between.

Numbers travel as `tensor_content`, a hundred times faster than a field per
element, in which a server answers by default and strings always travel.
"""

from collections.abc import Mapping
from typing import Any

import ml_dtypes  # noqa: F401  (makes bfloat16 a dtype of NumPy)
import numpy as np

from jd_tf.serving.client.errors import AnswerError, RequestError
from jd_tf.serving.protos.messages import DATA_TYPES, TensorProto, dtype_name

# Numbers by the field per element that has them.
_FIELDS = {
    "float_val": ("float32",),
    "double_val": ("float64",),
    "int_val": ("int8", "int16", "int32", "uint8", "uint16"),
    "int64_val": ("int64",),
    "uint32_val": ("uint32",),
    "uint64_val": ("uint64",),
    "bool_val": ("bool",),
    "half_val": ("float16", "bfloat16"),
}
_CODES = {dtype_name(code): code for code in DATA_TYPES}
_STRING = _CODES["string"]
_NUMBERS = {
    _CODES[name]: (np.dtype(name), field)
    for field, names in _FIELDS.items()
    for name in names
}
_TYPES = {dtype: code for code, (dtype, _) in _NUMBERS.items()}


def to_proto(array: np.ndarray) -> Any:
    """Returns the array as a message; see `fill_proto`."""
    proto = TensorProto()
    fill_proto(proto, array)
    return proto


def fill_proto(proto: Any, array: np.ndarray) -> None:
    """Writes an array, for strings of objects or bytes, to an empty message."""
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    if array.dtype.kind in "OSU":
        proto.dtype = _STRING
        proto.string_val.extend(
            value.encode() if isinstance(value, str) else value
            for value in array.ravel().tolist()
        )
    elif array.dtype in _TYPES:
        proto.dtype = _TYPES[array.dtype]
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        proto.tensor_content = little.tobytes()
    else:
        raise RequestError(
            f"no tensor holds dtype {array.dtype}; convert it first."
        )


def to_array(proto: Any) -> np.ndarray:
    """Returns the message as an array; strings are an array of bytes.

    As everywhere in TensorFlow the last of too few values is repeated.
    """
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    try:
        if proto.dtype == _STRING:
            values = np.array(list(proto.string_val), object)
        else:
            kind, field = _NUMBERS[proto.dtype]
            if proto.tensor_content:
                little = kind.newbyteorder("<")
                return np.frombuffer(proto.tensor_content, little).reshape(
                    shape
                )
            values = np.array(getattr(proto, field))
            if field == "half_val":
                # Sixteen bits each, in an integer.
                values = values.astype(np.uint16).view(kind)
            values = values.astype(kind, copy=False)
        size = int(np.prod(shape, dtype=np.int64))
        if 0 < len(values) < size:
            values = np.pad(values, (0, size - len(values)), "edge")
        return values.reshape(shape)
    except (KeyError, ValueError) as error:
        name = DATA_TYPES.get(proto.dtype, f"type {proto.dtype}")
        raise AnswerError(
            f"a tensor of {name} with shape {list(shape)} cannot be read: "
            f"{error}. Is this a model server?"
        ) from error


def to_arrays(protos: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Returns each message as an array."""
    return {name: to_array(proto) for name, proto in protos.items()}
