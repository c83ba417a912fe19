"""Inputs and outputs of signatures as plain dicts; needs no TensorFlow."""

from typing import Any

from jd_tf.serving.protos.messages import DATA_TYPES

# All other types have the same name there and in NumPy.
_ALIASES = {"float": "float32", "double": "float64", "half": "float16"}


def signature_table(graph: Any) -> dict[str, dict[str, dict[str, Any]]]:
    """Lists inputs and outputs of every signature.

    Args:
        graph: a MetaGraphDef, or the SignatureDefMap of a server.

    Returns:
        signature -> "inputs" or "outputs" -> tensor name -> its `dtype` and
        `shape`, with None for B, L and N.
    """
    return {
        name: {
            "inputs": _tensors(signature.inputs),
            "outputs": _tensors(signature.outputs),
        }
        for name, signature in graph.signature_def.items()
        if not name.startswith("__saved_model")
    }


def dtype_name(data_type: int) -> str:
    """Returns the NumPy name of a DataType, such as `float32`."""
    code = DATA_TYPES.get(data_type, f"DT_{data_type}")
    name = code.removeprefix("DT_").lower()
    kind = name.removesuffix("_ref")
    return _ALIASES.get(kind, kind) + name[len(kind) :]


def _tensors(infos: Any) -> dict[str, dict[str, Any]]:
    return {
        name: {
            "dtype": dtype_name(info.dtype),
            "shape": None
            if info.tensor_shape.unknown_rank
            else [
                None if dim.size < 0 else dim.size
                for dim in info.tensor_shape.dim
            ],
        }
        for name, info in sorted(infos.items())
    }
