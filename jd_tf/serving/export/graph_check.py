"""Refuses graphs that a stock model server loads but cannot run."""

import collections
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry

from jd_tf.serving.errors import ExportError
from jd_tf.serving.export.versions import GRAPH_FILE

SERVE_TAG = "serve"
# Python is not there; XLA is off by default; devices and peers are not known.
_REFUSED_OPS = {
    "PyFunc": "runs Python",
    "PyFuncStateless": "runs Python",
    "EagerPyFunc": "runs Python",
}
_REFUSED_PREFIXES = {
    "Xla": "needs XLA",
    "TPU": "needs a TPU",
    "Nccl": "needs several devices",
    "Collective": "needs several devices",
}
_XLA_ATTRIBUTE = "_XlaMustCompile"


def read_graph(folder: str | Path) -> Any:
    """The MetaGraphDef that a model server would load.

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
        if SERVE_TAG in graph.meta_info_def.tags:
            return graph
    raise ExportError(
        f"{path}: holds no graph tagged `{SERVE_TAG}`; cut off, or not made "
        "for serving. Export again."
    )


def check_ops(graph: Any) -> dict[str, int]:
    """Counts the ops of a graph and its functions.

    Run it in a process that has imported TensorFlow alone: an op that some
    other library registered is then unknown here as on the server.

    Args:
        graph: a MetaGraphDef.

    Returns:
        Nodes per op, most frequent first.

    Raises:
        ExportError: naming each op that a stock server lacks, and why.
    """
    refused = refused_ops(graph)
    if refused:
        raise ExportError(
            "a stock model server cannot run this graph: "
            + "; ".join(f"{op} {why}" for op, why in sorted(refused.items()))
        )
    return count_ops(graph)


def count_ops(graph: Any) -> dict[str, int]:
    """Nodes per op of a graph and its functions, most frequent first."""
    library = graph.graph_def.library.function
    own_functions = {function.signature.name for function in library}
    ops = (node.op for node in _nodes(graph))
    counts = collections.Counter(op for op in ops if op not in own_functions)
    return dict(counts.most_common())


def refused_ops(graph: Any) -> dict[str, str]:
    """Ops and functions that a stock server cannot run, and why."""
    library = graph.graph_def.library.function
    own_functions = {function.signature.name for function in library}
    refused: dict[str, str] = {}
    for function in library:
        if function.attr[_XLA_ATTRIBUTE].b:
            refused[function.signature.name] = "is compiled by XLA"
    for node in _nodes(graph):
        if node.op in own_functions:
            continue
        if node.attr[_XLA_ATTRIBUTE].b:
            refused[node.name] = "is compiled by XLA"
        reason = _REFUSED_OPS.get(node.op)
        for prefix, why in _REFUSED_PREFIXES.items():
            if node.op.startswith(prefix):
                reason = why
        if reason is None and op_def_registry.get(node.op) is None:
            reason = "is no op of TensorFlow itself"
        if reason:
            refused[node.op] = reason
    return refused


def check_batchable(table: dict[str, dict[str, dict[str, Any]]]) -> None:
    """Refuses tensors whose dimension 0 is not B.

    A server that batches requests joins every input and splits every output
    along dimension 0.
    """
    for complaint in unbatchable(table):
        raise ExportError(complaint)


def unbatchable(table: dict[str, dict[str, dict[str, Any]]]) -> Iterable[str]:
    """Complaints about tensors whose dimension 0 is not B."""
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
    yield from graph.graph_def.node
    for function in graph.graph_def.library.function:
        yield from function.node_def
