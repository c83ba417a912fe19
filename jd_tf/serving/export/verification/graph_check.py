"""Finds what a stock model server loads but cannot run or batch."""

import collections
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry

from jd_tf.serving.errors import ExportError
from jd_tf.serving.export.versions import GRAPH_FILE

_SERVE_TAG = "serve"
# A server has no Python, no XLA by default, and no other devices or peers.
_REFUSED_PREFIXES = {
    "PyFunc": "runs Python",
    "EagerPyFunc": "runs Python",
    "Xla": "needs XLA",
    "TPU": "needs a TPU",
    "Nccl": "needs several devices",
    "Collective": "needs several devices",
}
_XLA_ATTRIBUTE = "_XlaMustCompile"


def read_graph(folder: str | Path) -> Any:
    """Returns the MetaGraphDef that a model server would load.

    Raises:
        ExportError: if the file is missing, cut or has no such graph.
    """
    path = Path(folder) / GRAPH_FILE
    if not path.is_file():
        raise ExportError(f"{path}: no such file; not a whole SavedModel.")
    try:
        saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    except DecodeError as error:
        raise ExportError(
            f"{path}: not a SavedModel, or cut off: {error}. Export again."
        ) from error
    for graph in saved.meta_graphs:
        if _SERVE_TAG in graph.meta_info_def.tags:
            return graph
    raise ExportError(
        f"{path}: holds no graph tagged `{_SERVE_TAG}`; cut off, or not made "
        "for serving. Export again."
    )


def count_ops(graph: Any) -> dict[str, int]:
    """Counts the nodes of a graph and its functions, most frequent op first."""
    counts = collections.Counter(node.op for node in _nodes(graph))
    return dict(counts.most_common())


def refused_ops(graph: Any) -> dict[str, str]:
    """Finds ops and functions that a stock server cannot run.

    Run it in a process that has imported TensorFlow alone: an op that some
    other library registered is then unknown here as on the server.

    Args:
        graph: a MetaGraphDef.

    Returns:
        Name of the op or function -> the reason.
    """
    refused = {
        function.signature.name: "is compiled by XLA"
        for function in graph.graph_def.library.function
        if function.attr[_XLA_ATTRIBUTE].b
    }
    for node in _nodes(graph):
        if node.attr[_XLA_ATTRIBUTE].b:
            refused[node.name] = "is compiled by XLA"
        for prefix, reason in _REFUSED_PREFIXES.items():
            if node.op.startswith(prefix):
                refused[node.op] = reason
        if op_def_registry.get(node.op) is None:
            refused.setdefault(node.op, "is no op of TensorFlow itself")
    return refused


def batching_errors(table: Mapping[str, Any]) -> Iterable[str]:
    """Yields an error for each tensor whose dimension 0 is not B.

    A server that batches requests joins every input and splits every output
    along dimension 0.

    Args:
        table: as of `signature_table`.
    """
    for signature, sides in table.items():
        for side, tensors in sides.items():
            for name, tensor in tensors.items():
                shape = tensor["shape"]
                if not shape or shape[0] is not None:
                    yield (
                        f"signature `{signature}`: dimension 0 of `{name}` "
                        f"({side}) must be B, its shape is {shape}."
                    )


def _nodes(graph: Any) -> Iterable[Any]:
    """Yields the nodes of a graph and its functions, without their calls."""
    library = graph.graph_def.library.function
    functions = {function.signature.name for function in library}
    bodies = (graph.graph_def.node, *(f.node_def for f in library))
    for body in bodies:
        yield from (node for node in body if node.op not in functions)
