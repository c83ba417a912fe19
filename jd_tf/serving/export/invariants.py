"""What must hold of a served ranker whatever it has learned."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from jd_tf.schema import SERVING_ROLES, USER_ROLES, Column, Schema
from jd_tf.serving.export.comparison import TOLERANCE, check_equal
from jd_tf.serving.export.signatures import split_state
from jd_tf.serving.signature_names import (
    ENCODE_USER,
    PER_REQUEST,
    RANK_CANDIDATES,
    SERVING_DEFAULT,
)

Arrays = Mapping[str, np.ndarray]
Call = Callable[[str, Arrays], dict[str, np.ndarray]]

# Other shapes are summed in other orders: more noise than a mere reload has,
# and far less than one event or candidate too many.
_MORE_NOISE = 10
# Cells a server might add when it pads requests to a common width.
_EXTRA_CELLS = 3


def check_laws(
    call: Call,
    batch: Arrays,
    schema: Schema,
    tolerance: float = TOLERANCE,
) -> float:
    """Checks on one batch that only what is real counts.

    - Encoding the user and then ranking is the same as doing both at once.
    - Padding as a model server pads, with each tensor's first element,
      changes nothing; neither requests nor encoded users.
    - A request is scored the same alone and among others.

    Args:
        call: answers a signature: name and arrays in, arrays out.
        batch: serving columns of some requests.
        schema: which columns there are.
        tolerance: of a mere reload; ten times as much is let through.

    Returns:
        The largest relative difference found.

    Raises:
        ExportError: naming the law and the tensor.
    """
    allowed = _MORE_NOISE * tolerance
    columns = schema.columns(*SERVING_ROLES)
    user = {c.name: batch[c.name] for c in schema.columns(*USER_ROLES)}
    candidates = {n: batch[n] for n in batch if n not in user}
    at_once = call(SERVING_DEFAULT, batch)
    state, _ = split_state(call(ENCODE_USER, user))
    in_halves = call(RANK_CANDIDATES, {**state, **candidates})
    worst = check_equal(
        at_once,
        in_halves,
        f"{ENCODE_USER} then {RANK_CANDIDATES}",
        allowed,
    )
    lengths = batch["num_candidates"]
    wide = pad_like_a_server(batch, columns)
    wide_user = {name: wide[name] for name in user}
    wide_candidates = {name: wide[name] for name in candidates}
    wide_state, _ = split_state(call(ENCODE_USER, wide_user))
    wide_state = {n: _pad(state[n], wide_state[n].shape) for n in state}
    for what, padded in (
        ("requests", call(SERVING_DEFAULT, wide)),
        (
            "encoded users",
            call(RANK_CANDIDATES, {**wide_state, **wide_candidates}),
        ),
    ):
        worst = max(
            worst,
            check_equal(
                real_cells(at_once, lengths),
                real_cells(padded, lengths),
                f"the same {what} with other padding",
                allowed,
            ),
        )
    for row in range(len(lengths)):
        only = slice(row, row + 1)
        alone = call(SERVING_DEFAULT, {n: batch[n][only] for n in batch})
        among = {name: array[only] for name, array in at_once.items()}
        worst = max(
            worst,
            check_equal(
                real_cells(among, lengths[only]),
                real_cells(alone, lengths[only]),
                "a request alone and among others",
                allowed,
            ),
        )
    return worst


def pad_like_a_server(
    batch: Arrays, columns: tuple[Column, ...]
) -> dict[str, np.ndarray]:
    """Widens a batch; all padding becomes each tensor's first element."""
    padded = dict(batch)
    for column in columns:
        if not column.ragged:
            continue
        array = batch[column.name]
        num_requests, width = array.shape[:2]
        shape = (num_requests, width + _EXTRA_CELLS, *array.shape[2:])
        wide = _pad(array[:, :0], shape, array.flat[0])
        for row, length in enumerate(batch[column.length]):
            wide[row, :length] = array[row, :length]
        padded[column.name] = wide
    return padded


def _pad(
    array: np.ndarray, shape: tuple[int, ...], value: Any = None
) -> np.ndarray:
    """Widens an array, by default with its own first element."""
    value = array.flat[0] if value is None else value
    wide = np.full(shape, value, array.dtype)
    wide[tuple(slice(size) for size in array.shape)] = array
    return wide


def real_cells(ranked: Arrays, lengths: np.ndarray) -> dict[str, np.ndarray]:
    """What holds of real candidates, requests joined, or of requests."""
    return {
        name: array
        if name in PER_REQUEST
        else np.concatenate(
            [array[row, :length] for row, length in enumerate(lengths)]
        )
        for name, array in ranked.items()
    }
