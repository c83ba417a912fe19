"""Errors of a version's graph, variables, signatures and warm-up calls."""

import collections
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry

from jd_tf.schema import (
    HISTORY_ROLES,
    REQUEST_ROLES,
    SERVING_ROLES,
    Role,
    Schema,
)
from jd_tf.serving.errors import ExportError
from jd_tf.serving.export.batching_parameters import BATCHING_FILE
from jd_tf.serving.export.recordings import (
    MAX_WARMUP_RECORDS,
    WARMUP_FILE,
    Recording,
)
from jd_tf.serving.export.versions import GRAPH_FILE
from jd_tf.serving.signature_names import (
    ENCODE_ITEMS,
    EXCLUDED,
    IMAGE_BYTES,
    IMAGE_SIGNATURES,
    ITEM_ID,
    NUM_CANDIDATES,
    NUM_EXCLUDED,
    RANK_CANDIDATES,
    RETRIEVAL_SIGNATURES,
    SERVING_DEFAULT,
    SIGNATURES,
)

_SHARD = re.compile(r"variables\.data-(\d+)-of-(\d+)")
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
    """Returns the MetaGraphDef that a model server would load."""
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
    """Finds what no stock server runs, in a process with TensorFlow alone."""
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
    """Yields an error for each tensor whose dimension 0 is not B."""
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


def missing_shards(folder: Path) -> Iterable[str]:
    """Yields an error for each missing file of variables."""
    variables = folder / "variables"
    if not (variables / "variables.index").is_file():
        yield f"{folder}: has no variables. Export again."
        return
    shards = [_SHARD.fullmatch(path.name) for path in variables.iterdir()]
    there = {(int(m[1]), int(m[2])) for m in shards if m}
    count = max((of for _, of in there), default=1)
    for number in range(count):
        if (number, count) not in there:
            yield (
                f"{variables}: part {number} of {count} of the variables is "
                "missing. Copy or export the version again."
            )


def tower_errors(table: Mapping[str, Any], folder: Path) -> Iterable[str]:
    """Yields an error for each signature that takes no image files."""
    for signature in IMAGE_SIGNATURES:
        inputs = table[signature]["inputs"]
        if inputs != {IMAGE_BYTES: {"dtype": "string", "shape": [None]}}:
            yield (
                f"{folder}: signature `{signature}` must take `{IMAGE_BYTES}` "
                f"(B,) string. It takes {inputs}."
            )


def retriever_errors(table: Mapping[str, Any], schema: Schema) -> Iterable[str]:
    """Yields an error for each input that is not the schema's, of two towers.

    Of a retriever or a coarse tower. Items are what a batch of `encode_items`
    is of.
    """
    id_dtype = schema.item_columns[0].dtype
    candidates = schema.columns(Role.CANDIDATE)
    users = {
        column.name: (column.dtype, list(column.shape))
        for column in (
            *schema.columns(*HISTORY_ROLES, *REQUEST_ROLES),
            *(c for c in candidates if c.name in (ITEM_ID, NUM_CANDIDATES)),
        )
    }
    users |= {
        EXCLUDED: (id_dtype, [None, None]),
        NUM_EXCLUDED: ("int32", [None]),
    }
    items = {
        column.name: (column.dtype, [None, *column.shape[2:]])
        for column in candidates
    }
    for signature in RETRIEVAL_SIGNATURES:
        known = items if signature == ENCODE_ITEMS else users
        if signature not in table:
            yield f"lacks the signature {signature}."
            continue
        for name, given in table[signature]["inputs"].items():
            found = given["dtype"], given["shape"]
            if found != known.get(name):
                yield (
                    f"signature `{signature}`: input `{name}` is {found}, the "
                    f"schema has {known.get(name, 'no such column')}."
                )


def schema_errors(table: Mapping[str, Any], schema: Schema) -> Iterable[str]:
    """Yields an error for each signature input that is not the schema's.

    Columns that the model does not read are no inputs.
    """
    missing = [name for name in SIGNATURES if name not in table]
    if missing:
        yield f"lacks the signatures {', '.join(missing)}."
    if SERVING_DEFAULT in missing:
        return
    inputs = table[SERVING_DEFAULT]["inputs"]
    expected = {
        column.name: {"dtype": column.dtype, "shape": list(column.shape)}
        for column in schema.columns(*SERVING_ROLES)
    }
    for name in (ITEM_ID, NUM_CANDIDATES, *sorted(inputs)):
        if inputs.get(name) != expected.get(name):
            yield (
                f"signature `{SERVING_DEFAULT}`: input `{name}` is "
                f"{inputs.get(name, 'missing')}, the schema has "
                f"{expected.get(name, 'no such column')}."
            )


def warmup_errors(
    path: Path, calls: Sequence[Recording], table: Mapping[str, Any]
) -> Iterable[str]:
    """Yields reasons for which a server would refuse the warm-up file."""
    if not calls:
        yield f"{path}: holds no calls."
    if len(calls) > MAX_WARMUP_RECORDS:
        yield (
            f"{path}: {len(calls)} calls; a model server refuses a "
            f"version with more than {MAX_WARMUP_RECORDS}."
        )
    for number, call in enumerate(calls):
        if call.signature not in table:
            yield (
                f"{path}: record {number} calls signature `{call.signature}`, "
                "which does not exist: a model server would refuse the version."
            )


def coverage_errors(
    calls: Sequence[Recording],
    signatures: Iterable[str],
    batch_sizes: Iterable[int],
    widths: Iterable[int],
) -> Iterable[str]:
    """Yields signatures, batch sizes and widths that no call warms up."""
    for signature in signatures:
        met = [c.inputs for c in calls if c.signature == signature]
        sizes = {len(array) for inputs in met for array in inputs.values()}
        if not sizes:
            yield f"{WARMUP_FILE}: no call of signature `{signature}`."
            continue
        cold = f"{WARMUP_FILE}: signature `{signature}` is not warmed up for"
        if missing := _list(set(batch_sizes) - sizes):
            yield f"{cold} batches of {missing}, which {BATCHING_FILE} allows."
        if signature in (SERVING_DEFAULT, RANK_CANDIDATES):
            ids = [i["item_id"] for i in met if "item_id" in i]
            found = {array.shape[1] for array in ids if array.ndim == 2}
            missing = _list(set(widths) - found)
            if found and missing:
                yield f"{cold} {missing} candidates."


def _list(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))
