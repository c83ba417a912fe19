"""Times the parts of a ranking, and the least it could take."""

import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import (
    convert_variables_to_constants_v2,
)

from jd_tf.data.files import write_whole
from jd_tf.evaluation.pictures import new_figure, to_png
from jd_tf.models.base import STATE_PREFIX
from jd_tf.models.ranking.jd_ranker import JDRanker
from jd_tf.serving.client.tensors import to_array, to_proto

_MATRIX_SIDE = 768


def profile(
    model: JDRanker, batch: Mapping[str, np.ndarray], num_rounds: int = 30
) -> dict[str, float]:
    """Milliseconds of every part, each alone, in turns.

    Args:
        model: the live model; parts of a SavedModel cannot be called alone.
        batch: one request, as `serving_default` takes it.
        num_rounds: turns of each part; the median counts.

    Returns:
        Part -> milliseconds. "encode_user" and "rank" are wholes; parts of
        each follow them.
    """
    inputs = {name: tf.constant(array) for name, array in batch.items()}
    state = model.encode_user(inputs)
    parts = _parts(model, inputs, state)
    traced = {
        name: tf.function(part, autograph=False) for name, part in parts.items()
    }
    arrays = {name: tensor.numpy() for name, tensor in state.items()}
    messages = {name: to_proto(array) for name, array in arrays.items()}
    traced["user state to message"] = lambda: [
        to_proto(array).SerializeToString() for array in arrays.values()
    ]
    traced["message to user state"] = lambda: [
        to_array(message) for message in messages.values()
    ]
    times: dict[str, list[float]] = {name: [] for name in traced}
    for call in traced.values():
        call()
    for _ in range(num_rounds):
        for name, call in traced.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return {name: float(np.median(t)) * 1e3 for name, t in times.items()}


def _parts(
    model: JDRanker, inputs: Mapping[str, Any], state: Mapping[str, Any]
) -> dict[str, Callable[[], Any]]:
    items, columns = model.item_encoder, model.schema.item_columns
    ids = [inputs[column.name] for column in columns]
    rows, contents = items.rows(ids), items.content_embeddings(ids)
    candidates = items.encode(ids, contents)
    histories = []
    for number, behavior in enumerate(model.schema.behaviors, 1):
        reader, prefix = model.readers[number - 1], f"{behavior.name}_"
        own = [inputs[prefix + column.name] for column in columns]
        prefix = f"{STATE_PREFIX}{behavior.name}_"
        histories.append(
            {
                "reader": reader,
                "number": number,
                "ids": own,
                "tokens": items(own, gate_index=number),
                "length": inputs[behavior.length],
                "state": {
                    name.removeprefix(prefix): tensor
                    for name, tensor in state.items()
                    if name.startswith(prefix)
                },
            }
        )
    bare = model.encode_histories(inputs)
    context = model.encode_request(bare, inputs)
    pairs = model._pair_features(bare, context, inputs)
    features, numbers = model._candidate_features(bare, context, inputs, pairs)
    features = tf.concat([*features, *numbers], axis=-1)
    user = model.experts_state(bare, context)
    mixed = model.experts.mix(features, user)
    return {
        "encode_user": lambda: model.encode_user(inputs),
        "items of histories": lambda: [
            (items(h["ids"], gate_index=h["number"]), items.rows(h["ids"]))
            for h in histories
        ],
        "encoders": lambda: [
            h["reader"].encoder(h["tokens"], h["length"]) for h in histories
        ],
        "rank": lambda: model.rank(state, inputs, inputs),
        "items of candidates": lambda: (items(ids), items.rows(ids)),
        "target attention": lambda: [
            h["reader"].decoder.attend(
                candidates,
                h["state"]["keys"],
                h["state"]["values"],
                h["state"]["length"],
            )
            for h in histories
        ],
        "matches": lambda: [
            h["reader"].match_reader.read(
                rows,
                h["state"]["length"],
                h["state"],
                contents,
                context["since_seconds"][:, h["number"] - 1],
            )
            for h in histories
        ],
        "experts": lambda: model.experts.mix(features, user),
        "towers": lambda: model.towers(mixed),
    }


def multiplications(
    function: Any, inputs: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Floating-point operations of the matrix products of one call.

    Args:
        function: a signature.
        inputs: of the call; decides the shapes.

    Returns:
        `flops`, `unknown`: products whose shapes the graph does not tell.
    """
    specs = {
        name: tf.TensorSpec(array.shape, function_dtype(function, name), name)
        for name, array in inputs.items()
    }
    concrete = tf.function(
        lambda **tensors: function(**tensors), autograph=False
    ).get_concrete_function(**specs)
    graph = convert_variables_to_constants_v2(concrete).graph
    flops = unknown = 0
    for op in graph.get_operations():
        if op.type not in ("MatMul", "BatchMatMulV2", "BatchMatMul", "Einsum"):
            continue
        found = _flops(op)
        flops, unknown = flops + (found or 0), unknown + (found is None)
    return {"flops": int(flops), "unknown": unknown}


def function_dtype(function: Any, name: str) -> tf.DType:
    """The type a signature takes an input in."""
    return function.structured_input_signature[1][name].dtype


def _flops(op: Any) -> float | None:
    one, other = op.inputs[0].shape, op.inputs[1].shape
    out = op.outputs[0].shape
    if not all(shape.is_fully_defined() for shape in (one, other, out)):
        return None
    if op.type == "Einsum":
        equation = op.get_attr("equation").decode()
        left, right = equation.split("->")[0].split(",")
        if "." in left + right:
            return None
        sizes = dict(zip(left, one, strict=True))
        sizes.update(zip(right, other, strict=True))
        return 2.0 * float(np.prod(list(sizes.values()), dtype=np.float64))
    transposed = op.get_attr("transpose_a" if op.type == "MatMul" else "adj_x")
    inner = one[-2] if transposed else one[-1]
    return 2.0 * float(np.prod(out.as_list(), dtype=np.float64)) * inner


def matrix_rate(num_rounds: int = 15) -> float:
    """Floating-point operations a second of a large product, at best."""
    side = tf.random.stateless_uniform((_MATRIX_SIDE, _MATRIX_SIDE), (1, 2))
    product = tf.function(lambda: tf.matmul(side, side), autograph=False)
    product()
    seconds = []
    for _ in range(num_rounds):
        start = time.perf_counter()
        product().numpy()
        seconds.append(time.perf_counter() - start)
    return 2.0 * _MATRIX_SIDE**3 / min(seconds)


def draw_bars(
    parts: Mapping[str, float], wholes: Collection[str], path: str | Path
) -> None:
    """Draws a bar of milliseconds for each part, wholes in another colour."""
    names = list(parts)[::-1]
    figure, axes = new_figure(7.2, 0.32 * len(names) + 1.2)
    colors = ["#455a64" if name in wholes else "#90caf9" for name in names]
    bars = axes.barh(names, [parts[name] for name in names], color=colors)
    axes.bar_label(bars, fmt="%.2f", padding=3, fontsize=8)
    axes.set(xlabel="milliseconds, median; dark: wholes, light: parts alone")
    axes.margins(x=0.12)
    write_whole(path, to_png(figure))
