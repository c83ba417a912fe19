"""Invariants of a served model, whatever it has learned."""

import pickle
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from jd_tf.schema import SERVING_ROLES, Column, Role, Schema
from jd_tf.serving.errors import ExportError
from jd_tf.serving.export.loading import LoadedModel
from jd_tf.serving.export.verification.comparison import check_equal
from jd_tf.serving.signature_names import (
    ENCODE_AND_RANK,
    ENCODE_ITEMS,
    ENCODE_USER,
    EXCLUDED,
    ITEM_ID,
    LOWEST_SCORE,
    NUM_CANDIDATES,
    NUM_EXCLUDED,
    NUM_FOUND,
    PER_REQUEST,
    RANK_CANDIDATES,
    SERVING_DEFAULT,
    STATE_PREFIX,
    VECTOR,
)

Arrays = Mapping[str, np.ndarray]
# What is compared, and two answers that must be equal.
Compared = Iterable[tuple[str, Arrays, Arrays]]

# Other shapes are summed in other orders: more noise than a mere reload has,
# and far less than one event or candidate too many.
_MORE_NOISE = 10
# Cells a server might add when it pads requests to a common width.
_EXTRA_CELLS = 3


def check_invariants(compared: Compared, tolerance: float) -> float:
    """Compares answers that must be equal; returns the largest difference."""
    differences = (
        check_equal(expected, actual, what, _MORE_NOISE * tolerance)
        for what, expected, actual in compared
    )
    return max(differences, default=0.0)


def check_scores(inputs: Arrays, outputs: Arrays) -> None:
    """Refuses an answer in which a real candidate got no finite score."""
    real = _real_cells(outputs, inputs.get(NUM_CANDIDATES))
    if np.any(real.get("score", 0.0) == LOWEST_SCORE):
        raise ExportError("a score is not finite: train the model again.")


def rows_alone(
    model: LoadedModel, signature: str, inputs: Arrays
) -> Iterator[tuple[str, Arrays, Arrays]]:
    """Yields the answer to each row of a batch, among others and alone."""
    outputs = model.call(signature, inputs)
    answers: dict[bytes, Arrays] = {}
    for row in range(len(next(iter(inputs.values())))):
        given = _row(inputs, row)
        key = pickle.dumps(given)
        if key not in answers:
            answers[key] = model.call(signature, given)
        yield (
            f"signature `{signature}`: a request alone and among others",
            _real_cells(_row(outputs, row), given.get(NUM_CANDIDATES)),
            _real_cells(answers[key], given.get(NUM_CANDIDATES)),
        )


def other_padding(
    model: LoadedModel, signature: str, inputs: Arrays, schema: Schema
) -> Iterator[tuple[str, Arrays, Arrays]]:
    """Yields the answers to the same requests in wider columns.

    Of two towers; what is to be left out travels as far as the history does.
    """
    excluded = Column(
        EXCLUDED, Role.CANDIDATE, "string", "BN", length=NUM_EXCLUDED
    )
    columns = (*schema.columns(*SERVING_ROLES), excluded)
    lengths = inputs.get(NUM_CANDIDATES)
    answers = [
        _real_cells(model.call(signature, given), lengths)
        for given in (inputs, _pad_like_a_server(inputs, columns))
    ]
    one, other = (
        {name: array for name, array in answer.items() if name != EXCLUDED}
        for answer in answers
    )
    yield f"signature `{signature}`: the same with other padding", one, other


def nothing_given(
    model: LoadedModel, inputs: Arrays
) -> Iterator[tuple[str, Arrays, Arrays]]:
    """Yields answers to requests that give no id, in a column and in none."""
    for ids, number in ((ITEM_ID, NUM_CANDIDATES), (EXCLUDED, NUM_EXCLUDED)):
        if ids not in inputs:
            continue
        none = {**inputs, number: np.zeros_like(inputs[number])}
        one, other = (
            _real_cells(
                model.call(SERVING_DEFAULT, given), given.get(NUM_CANDIDATES)
            )
            for given in (none, {**none, ids: inputs[ids][:, :0]})
        )
        yield f"`{number}` 0, with a column `{ids}` and without", one, other


def products(
    model: LoadedModel, inputs: Arrays, items: Arrays
) -> Iterator[tuple[str, Arrays, Arrays]]:
    """Yields scores of items, and products of the vectors of both towers.

    Args:
        model: of two towers.
        inputs: of `serving_default`.
        items: of `encode_items`.
    """
    vectors = model.call(ENCODE_ITEMS, items)[VECTOR]
    taken = model.signatures[ENCODE_USER]["inputs"]
    users = model.call(ENCODE_USER, {name: inputs[name] for name in taken})
    # A user of several vectors has the score of the nearest.
    several = users[VECTOR].reshape(len(users[VECTOR]), -1, vectors.shape[1])
    scores = (several @ vectors.T).max(axis=1)
    place = {item: n for n, item in enumerate(items[ITEM_ID].tolist())}
    answer = model.call(SERVING_DEFAULT, inputs)
    ids = (answer if ITEM_ID in answer else inputs)[ITEM_ID]
    at = np.array([[place.get(item, -1) for item in row] for row in ids])
    row, column = np.nonzero((at >= 0) & (answer["score"] != LOWEST_SCORE))
    yield (
        "scores, and products of the vectors of users and items",
        {"score": answer["score"][row, column]},
        {"score": scores[row, at[row, column]]},
    )


def check_lists(inputs: Arrays, outputs: Arrays) -> None:
    """Refuses lists of items out of order, twice, or that were excluded."""
    for row, score in enumerate(outputs["score"]):
        found = outputs[NUM_FOUND][row]
        ids = outputs[ITEM_ID][row, :found].tolist()
        out = inputs[EXCLUDED][row, : inputs[NUM_EXCLUDED][row]].tolist()
        if len({*ids}) < found or not {*ids}.isdisjoint(out):
            raise ExportError(
                "an answer has an item twice, or one that was excluded."
            )
        if (np.diff(score) > 0).any() or LOWEST_SCORE in score[:found]:
            raise ExportError("the scores of an answer do not descend.")


def halves_and_padding(
    model: LoadedModel, batch: Arrays, schema: Schema
) -> Iterator[tuple[str, Arrays, Arrays]]:
    """Yields answers that must be equal: in two calls, with more padding."""

    def call(signature: str, tensors: Arrays) -> Arrays:
        names = model.signatures[signature]["inputs"]
        return model.call(signature, {name: tensors[name] for name in names})

    def encode(tensors: Arrays) -> Arrays:
        encoded = call(ENCODE_USER, tensors)
        return {n: encoded[n] for n in encoded if n.startswith(STATE_PREFIX)}

    at_once = call(SERVING_DEFAULT, batch)
    state = encode(batch)
    yield (
        f"{ENCODE_USER} then {RANK_CANDIDATES}",
        at_once,
        call(RANK_CANDIDATES, {**batch, **state}),
    )
    yield (
        f"{ENCODE_AND_RANK}, and the two apart",
        {**at_once, **state},
        call(ENCODE_AND_RANK, batch),
    )
    lengths = batch[NUM_CANDIDATES]
    expected = _real_cells(at_once, lengths)
    wide = _pad_like_a_server(batch, schema.columns(*SERVING_ROLES))
    yield (
        "the same requests with other padding",
        expected,
        _real_cells(call(SERVING_DEFAULT, wide), lengths),
    )
    wide_state = {
        name: _pad(state[name], array.shape)
        for name, array in encode(wide).items()
    }
    yield (
        "the same user states with other padding",
        expected,
        _real_cells(call(RANK_CANDIDATES, {**wide, **wide_state}), lengths),
    )


def _row(arrays: Arrays, row: int) -> Arrays:
    return {name: array[row : row + 1] for name, array in arrays.items()}


def _pad_like_a_server(batch: Arrays, columns: Sequence[Column]) -> Arrays:
    padded = dict(batch)
    for column in columns:
        if column.ragged and column.name in batch:
            array = batch[column.name]
            rows, width = array.shape[:2]
            shape = (rows, width + _EXTRA_CELLS, *array.shape[2:])
            wide = np.full(shape, array.flat[0], array.dtype)
            for row, length in enumerate(batch[column.length]):
                wide[row, :length] = array[row, :length]
            padded[column.name] = wide
    return padded


def _pad(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    wide = np.full(shape, array.flat[0], array.dtype)
    wide[tuple(slice(size) for size in array.shape)] = array
    return wide


def _real_cells(answer: Arrays, lengths: np.ndarray | None) -> Arrays:
    if lengths is None:
        return answer
    return {
        name: array
        if name in PER_REQUEST or name.startswith(STATE_PREFIX)
        else np.concatenate(
            [array[row, :length] for row, length in enumerate(lengths)]
        )
        for name, array in answer.items()
    }
