"""Invariants of a served model, whatever it has learned."""

import pickle
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from jd_tf.schema import SERVING_ROLES, Column, Schema
from jd_tf.serving.export.loading import LoadedModel
from jd_tf.serving.export.verification.comparison import TOLERANCE, check_equal
from jd_tf.serving.signature_names import (
    ENCODE_USER,
    PER_REQUEST,
    RANK_CANDIDATES,
    SERVING_DEFAULT,
    STATE_PREFIX,
)

Arrays = Mapping[str, np.ndarray]

# Other shapes are summed in other orders: more noise than a mere reload has,
# and far less than one event or candidate too many.
_MORE_NOISE = 10
# Cells a server might add when it pads requests to a common width.
_EXTRA_CELLS = 3


def check_invariants(
    model: LoadedModel,
    batch: Arrays,
    schema: Schema,
    tolerance: float = TOLERANCE,
) -> float:
    """Checks on one batch that nothing but real cells counts.

    - `encode_user` followed by `rank_candidates` is `serving_default`.
    - Padding as a model server pads, with each tensor's first element,
      changes nothing, neither of requests nor of user states.
    - A request is scored the same alone and among others.

    Args:
        model: a served ranker.
        batch: serving columns of some requests.
        schema: names the columns.
        tolerance: of a mere reload; ten times as much passes.

    Returns:
        The largest relative difference found.

    Raises:
        ExportError: naming the invariant and the tensor.
    """
    return max(
        check_equal(expected, actual, what, _MORE_NOISE * tolerance)
        for what, expected, actual in _compared(model, batch, schema)
    )


def check_rows_alone(
    model: LoadedModel,
    signature: str,
    inputs: Arrays,
    tolerance: float = TOLERANCE,
) -> float:
    """Checks that each row of a batch is answered the same alone.

    Args:
        model: a model whose rows have one width.
        signature: that was called.
        inputs: of the whole batch.
        tolerance: of a mere reload; ten times as much passes.

    Returns:
        The largest relative difference found.

    Raises:
        ExportError: naming the tensor.
    """
    worst = 0.0
    outputs = model.call(signature, inputs)
    answers: dict[bytes, Arrays] = {}
    for row in range(len(next(iter(inputs.values())))):
        given = _row(inputs, row)
        key = pickle.dumps(given)
        if key not in answers:
            answers[key] = model.call(signature, given)
        found = check_equal(
            _row(outputs, row),
            answers[key],
            f"signature `{signature}`: a row alone and among others",
            _MORE_NOISE * tolerance,
        )
        worst = max(worst, found)
    return worst


def _compared(
    model: LoadedModel, batch: Arrays, schema: Schema
) -> Iterator[tuple[str, Arrays, Arrays]]:
    """Yields what is compared, and two answers that must be equal."""

    def call(signature: str, tensors: Arrays) -> Arrays:
        names = model.signatures[signature]["inputs"]
        return model.call(signature, {name: tensors[name] for name in names})

    def state_of(tensors: Arrays) -> Arrays:
        encoded = call(ENCODE_USER, tensors)
        return {n: encoded[n] for n in encoded if n.startswith(STATE_PREFIX)}

    at_once = call(SERVING_DEFAULT, batch)
    state = state_of(batch)
    yield (
        f"{ENCODE_USER} then {RANK_CANDIDATES}",
        at_once,
        call(RANK_CANDIDATES, {**batch, **state}),
    )
    lengths = batch["num_candidates"]
    expected = _real_cells(at_once, lengths)
    wide = _pad_like_a_server(batch, schema.columns(*SERVING_ROLES))
    yield (
        "the same requests with other padding",
        expected,
        _real_cells(call(SERVING_DEFAULT, wide), lengths),
    )
    wide_state = {
        name: _pad(state[name], array.shape)
        for name, array in state_of(wide).items()
    }
    yield (
        "the same user states with other padding",
        expected,
        _real_cells(call(RANK_CANDIDATES, {**wide, **wide_state}), lengths),
    )
    for row in range(len(lengths)):
        length = lengths[row : row + 1]
        yield (
            "a request alone and among others",
            _real_cells(_row(at_once, row), length),
            _real_cells(call(SERVING_DEFAULT, _row(batch, row)), length),
        )


def _row(arrays: Arrays, row: int) -> Arrays:
    return {name: array[row : row + 1] for name, array in arrays.items()}


def _pad_like_a_server(batch: Arrays, columns: Sequence[Column]) -> Arrays:
    """Widens a batch; all padding becomes each tensor's first element."""
    padded = dict(batch)
    for column in columns:
        if column.ragged:
            array = batch[column.name]
            rows, width = array.shape[:2]
            shape = (rows, width + _EXTRA_CELLS, *array.shape[2:])
            wide = np.full(shape, array.flat[0], array.dtype)
            for row, length in enumerate(batch[column.length]):
                wide[row, :length] = array[row, :length]
            padded[column.name] = wide
    return padded


def _pad(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Widens an array with its own first element."""
    wide = np.full(shape, array.flat[0], array.dtype)
    wide[tuple(slice(size) for size in array.shape)] = array
    return wide


def _real_cells(ranked: Arrays, lengths: np.ndarray) -> Arrays:
    """Returns values of real candidates, requests joined, or of requests."""
    return {
        name: array
        if name in PER_REQUEST
        else np.concatenate(
            [array[row, :length] for row, length in enumerate(lengths)]
        )
        for name, array in ranked.items()
    }
