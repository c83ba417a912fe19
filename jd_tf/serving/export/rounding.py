"""Smaller copies of a trained ranker: half precision, compact tables."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from jd_tf.data.batches import numpy_batches
from jd_tf.evaluation.collect import collect_predictions
from jd_tf.evaluation.live_scorer import model_scorer
from jd_tf.layers import IdEmbedding, TextEncoder, VectorTable
from jd_tf.serving.errors import ExportError
from jd_tf.serving.export.model_card import SHOWN_METRICS
from jd_tf.serving.export.signatures import state_columns, state_of
from jd_tf.serving.export.verification.comparison import TOLERANCE

DTYPES = ("float32", "bfloat16")
STORAGES = ("float32", "bfloat16", "float16", "int8")
FLOAT32 = "float32"
# Largest relative difference of a reloaded model: bfloat16 keeps 8 bits, and
# a graph rounds at other places than eager code does.
TOLERANCES = {"float32": TOLERANCE, "bfloat16": 0.03}
EXACT, EXPORTED = FLOAT32, "exported"
_BATCH_SIZE = 128
_LARGEST_CODE = 127
# Layers with a table, and the weight that holds it.
_TABLES = {IdEmbedding: "table", TextEncoder: "table", VectorTable: "vectors"}


def round_ranker(
    model: Any,
    dtype: str = FLOAT32,
    tables: str = FLOAT32,
    states: str = FLOAT32,
) -> Any:
    """Copies a ranker with fewer bits for activations, tables or states.

    Args:
        model: the live `RankingModel`; it is not changed.
        dtype: of activations; one of `DTYPES`. Weights other than tables
            stay float32, and so do inputs and outputs other than states.
        tables: storage of the vectors of ids, words and pictures; one of
            `STORAGES`.
        states: type in which user states travel and are kept; one of `DTYPES`.

    Returns:
        A `RoundedRanker`; the model itself if nothing is to be rounded.

    Raises:
        ExportError: if there is no such type, or a table cannot be rounded.
    """
    for name, value, known in (
        ("dtype", dtype, DTYPES),
        ("tables", tables, STORAGES),
        ("states", states, DTYPES),
    ):
        if value not in known:
            raise ExportError(
                f"`{name}` must be one of {', '.join(known)}. Got: {value!r}."
            )
    if dtype == tables == FLOAT32:
        if states == FLOAT32:
            return model
        return RoundedRanker(model, model, states)
    config = model.get_config()
    if dtype != FLOAT32:
        config["dtype"] = f"mixed_{dtype}"
    copy = model.__class__.from_config(config)
    for mine, theirs in zip(copy.weights, model.weights, strict=True):
        mine.assign(theirs)
    if tables != FLOAT32:
        try:
            num_tables = compact_tables(copy, tables)
        except ValueError as error:
            raise ExportError(f"tables in {tables}: {error}") from error
        if not num_tables:
            raise ExportError("the ranker has no tables that could shrink.")
    return RoundedRanker(model, copy, states)


def tolerance_of(*dtypes: str) -> float:
    """Returns the largest difference that a reloaded model may have."""
    return max(TOLERANCES[dtype] for dtype in dtypes)


class RoundedRanker:
    """A ranker in half precision behind inputs and outputs in float32.

    REST has no half precision and NumPy no bfloat16. Widening the user state
    loses nothing; where `states` are bfloat16, all signatures rank by the
    rounded state. Methods are a `RankingModel`'s, layers and weights the
    rounded copy's.
    """

    def __init__(self, original: Any, rounded: Any, states: str = FLOAT32):
        self.original = original
        self._states = tf.as_dtype(states)
        self.schema = original.schema
        self.reusable = original.reusable
        # Each call would round what is kept of all events before.
        self.can_append = False
        self.layers = rounded.layers
        self.weights = rounded.weights
        self._rounded = rounded
        traced = tf.function(
            rounded.encode_user, autograph=False
        ).get_concrete_function(state_columns(original))
        state = state_of(traced.structured_outputs)
        self._state_dtypes = {name: t.dtype for name, t in state.items()}

    def __call__(
        self, inputs: Mapping[str, Any], training: bool = False
    ) -> dict[str, Any]:
        """Returns the ranking in float32."""
        if self._states != tf.float32 and not training:
            return self.rank(self.encode_user(inputs), inputs, inputs)
        return _as_type(self._rounded(inputs, training=training))

    def encode_user(self, histories: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the user state in the type of states."""
        return _as_type(self._rounded.encode_user(histories), self._states)

    def rank(
        self,
        user_state: Mapping[str, Any],
        request: Mapping[str, Any],
        candidates: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Returns the ranking in float32, of a user state as it travels."""
        state = {
            name: tf.cast(tensor, self._state_dtypes[name])
            for name, tensor in user_state.items()
        }
        return _as_type(self._rounded.rank(state, request, candidates))

    def explain(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the explanation in float32."""
        return _as_type(self._rounded.explain(inputs))


def compact_tables(model: keras.Model, storage: str) -> int:
    """Replaces and counts the tables of a model; it cannot be trained again."""
    tables: list[tuple[Any, str]] = [
        (layer, attribute)
        for layer in model._flatten_layers()
        for kind, attribute in _TABLES.items()
        if isinstance(layer, kind)
    ]
    for layer, attribute in tables:
        weight = getattr(layer, attribute)
        compact = CompactTable(weight.numpy(), storage)
        # As Keras' own quantized layers drop the weight they replace.
        layer._tracker.unlock()
        layer._untrack_variable(weight)
        delattr(layer, attribute)
        layer.compact = compact
        layer._tracker.lock()
        layer.gather = compact.lookup
    return len(tables)


class CompactTable(tf.Module):
    """A table of vectors in few bytes, whose rows are read as float32."""

    def __init__(self, table: np.ndarray, storage: str):
        super().__init__(name="compact_table")
        self.scales = None
        if storage == "int8":
            codes, scales = quantize_rows(table)
            self.scales = tf.Variable(scales, trainable=False, name="scales")
        else:
            codes = tf.cast(table, storage)
            if not np.isfinite(tf.cast(codes, tf.float32)).all():
                raise ValueError(f"a value of the table overflows {storage}.")
        self.codes = tf.Variable(codes, trainable=False, name="codes")

    def lookup(self, rows: Any) -> tf.Tensor:
        """Reads rows (...) as vectors (..., D) float32."""
        vectors = tf.cast(tf.gather(self.codes, rows), tf.float32)
        if self.scales is None:
            return vectors
        return vectors * tf.gather(self.scales, rows)[..., None]


def quantize_rows(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rounds each row (D,) to whole numbers from -127 to 127 times its scale.

    Returns codes (V, D) int8 and scales (V,) float32, 0 for a row of zeros. A
    rare item's small vector is rounded as finely as a popular one's.
    """
    table = np.asarray(table, np.float32)
    if not np.isfinite(table).all():
        row = int(np.flatnonzero(~np.isfinite(table).all(axis=1))[0])
        raise ValueError(f"row {row} of the table is not finite.")
    largest = np.abs(table).max(axis=1, initial=0.0)
    scales = (largest / _LARGEST_CODE).astype(np.float32)
    # A scale may underflow to zero where a row is next to nothing.
    divisors = np.where(scales > 0, scales, np.float32(1.0))
    codes = np.rint(table / divisors[:, None])
    codes = np.clip(codes, -_LARGEST_CODE, _LARGEST_CODE)
    return codes.astype(np.int8), scales


def rounding_cost(
    exact: Any, rounded: Any, data_dir: str | Path, split: str
) -> dict[str, Any]:
    """Scores a split before and after rounding; undefined metrics are None.

    The change of scores is relative to the largest.
    """
    batches = numpy_batches(
        data_dir, split, _BATCH_SIZE, schema=exact.schema, keys=True
    )
    scorers = {EXACT: model_scorer(exact), EXPORTED: model_scorer(rounded)}
    predictions = collect_predictions(batches, exact.schema, scorers)
    found = predictions.evaluate(num_replicates=0, reference=EXPORTED)
    before, after = (predictions.systems[name]["score"] for name in scorers)
    width = before.shape[1]
    real = np.arange(width) < predictions.num_candidates[:, None]
    scale = np.abs(before[real]).max(initial=0.0)
    change = np.abs(before[real] - after[real]).max(initial=0.0)
    return {
        "split": split,
        "num_requests": len(predictions.num_candidates),
        "largest_score_change": float(change / scale) if scale else 0.0,
        "metrics": {
            objective: {
                name: _compared(before[name], found[EXPORTED][objective][name])
                for name in SHOWN_METRICS
                if name in before
            }
            for objective, before in found[EXACT].items()
        },
    }


def _compared(before: float | None, after: float | None) -> dict[str, Any]:
    defined = before is not None and after is not None
    change = after - before if defined else None  # type: ignore[operator]
    return {EXACT: before, EXPORTED: after, "change": change}


def _as_type(
    tensors: Mapping[str, Any], dtype: tf.DType = tf.float32
) -> dict[str, Any]:
    """Casts what is a float; times and lengths stay as they are."""
    return {
        name: tf.cast(tensor, dtype) if tensor.dtype.is_floating else tensor
        for name, tensor in tensors.items()
    }
