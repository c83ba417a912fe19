"""JSON to arrays and back, as the server's REST interface has it."""

import base64

import numpy as np
import tensorflow as tf

from tests.serving.fake_server.status_error import StatusError, invalid

_SUPPORTED = [
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint32",
    "uint64",
    "bool",
    "string",
]


def read_body(body, signature):
    """Returns arrays by input name, and whether they came in rows.

    Args:
        body: the parsed JSON object.
        signature: a SignatureDef.
    """
    if not isinstance(body, dict):
        raise invalid("JSON Value: is not an object")
    if ("instances" in body) == ("inputs" in body):
        raise invalid("Request needs exactly one of 'instances' and 'inputs'")
    if "instances" in body:
        return _rows(body["instances"], signature), True
    given = body["inputs"]
    names = list(signature.inputs)
    if not isinstance(given, dict) and len(names) == 1:
        given = {names[0]: given}
    if not isinstance(given, dict):
        raise invalid("'inputs' must be an object")
    for name in names:
        if name not in given:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
    # Unknown keys are ignored.
    return {n: _array(given[n], signature.inputs[n], n) for n in names}, False


def write_outputs(outputs, rows):
    """Returns the JSON object of an answer."""
    plain = {name: _plain(name, array) for name, array in outputs.items()}
    if not rows:
        if len(plain) == 1:
            return {"outputs": next(iter(plain.values()))}
        return {"outputs": plain}
    counts = {np.asarray(a).shape[:1] for a in outputs.values()}
    if len(counts) != 1 or () in counts:
        raise invalid("Tensors do not share dimension 0")
    if len(plain) == 1:
        return {"predictions": next(iter(plain.values()))}
    (count,) = counts.pop()
    return {
        "predictions": [
            {name: values[row] for name, values in plain.items()}
            for row in range(count)
        ]
    }


def _rows(instances, signature):
    if not isinstance(instances, list) or not instances:
        raise invalid("'instances' must be a list that is not empty")
    names = set(signature.inputs)
    if len(names) == 1 and not isinstance(instances[0], dict):
        (name,) = names
        instances = [{name: value} for value in instances]
    for instance in instances:
        if not isinstance(instance, dict) or set(instance) != names:
            raise invalid(
                "Failed to process element: JSON object keys must be "
                f"{sorted(names)}"
            )
    return {
        name: _array([i[name] for i in instances], signature.inputs[name], name)
        for name in names
    }


def _array(value, info, name):
    dtype = tf.as_dtype(info.dtype)
    if dtype.name not in _SUPPORTED:
        raise StatusError(
            "UNIMPLEMENTED", f"JSON conversion of {dtype.name} not supported"
        )
    # Of ragged lists some leaves are lists, which are no scalars.
    leaves = np.array(value, object)
    flat = [_scalar(leaf, dtype, name) for leaf in leaves.flat]
    kind = object if dtype == tf.string else dtype.as_numpy_dtype
    try:
        array = np.empty(len(flat), kind)
        array[:] = flat
    except (OverflowError, ValueError) as error:
        raise invalid(f"tensor: {name}: {error}") from error
    return array.reshape(leaves.shape)


def _scalar(value, dtype, name):
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if dtype == tf.string:
        if isinstance(value, dict) and list(value) == ["b64"]:
            return base64.b64decode(value["b64"])
        good = isinstance(value, str)
        value = value.encode() if good else value
    elif dtype == tf.bool:
        good = isinstance(value, bool)
    elif dtype.is_floating:
        good = number
    else:
        good = number and isinstance(value, int)
    if not good:
        raise invalid(
            f"JSON Value: {value!r} Type: {type(value).__name__} is not of "
            f"expected type: {dtype.name} (tensor: {name})"
        )
    return value


def _plain(name, array):
    array = np.asarray(array)
    if array.dtype.kind == "O":
        return _texts(array.tolist(), name.endswith("_bytes"))
    if array.dtype.name not in _SUPPORTED:
        raise StatusError(
            "UNIMPLEMENTED",
            f"JSON conversion of {array.dtype.name} not supported",
        )
    return array.tolist()


def _texts(value, binary):
    if isinstance(value, list):
        return [_texts(part, binary) for part in value]
    if binary:
        return {"b64": base64.b64encode(value).decode()}
    return value.decode()
