"""Smaller copies of a trained ranker: half precision, compact tables."""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from jd_tf.layers import IdEmbedding, TextEncoder, VectorTable
from jd_tf.schema import HISTORY_ROLES
from jd_tf.serving.errors import ExportError
from jd_tf.serving.export.rounding.compact_table import STORAGES, CompactTable
from jd_tf.serving.export.signatures import column_specs, split_state
from jd_tf.serving.export.verification.comparison import TOLERANCE

DTYPES = ("float32", "bfloat16")
FLOAT32 = "float32"
# Largest relative difference of a reloaded model: bfloat16 keeps 8 bits, and
# a graph rounds at other places than eager code does.
TOLERANCES = {"float32": TOLERANCE, "bfloat16": 0.03}
# Layers with a table, and the weight that holds it.
_TABLES = {IdEmbedding: "table", TextEncoder: "table", VectorTable: "vectors"}


def round_ranker(
    model: Any, dtype: str = FLOAT32, tables: str = FLOAT32
) -> Any:
    """Copies a ranker with fewer bits for activations or tables.

    Args:
        model: the live `RankingModel`; it is not changed.
        dtype: of activations; one of `DTYPES`. Weights other than tables
            stay float32, and so do all inputs and outputs.
        tables: storage of the vectors of ids, words and pictures; one of
            `STORAGES`.

    Returns:
        A `RoundedRanker`; the model itself if nothing is to be rounded.

    Raises:
        ExportError: if there is no such type, or a table cannot be rounded.
    """
    for name, value, known in (
        ("dtype", dtype, DTYPES),
        ("tables", tables, STORAGES),
    ):
        if value not in known:
            raise ExportError(
                f"`{name}` must be one of {', '.join(known)}. Got: {value!r}."
            )
    if dtype == tables == FLOAT32:
        return model
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
    return RoundedRanker(model, copy)


class RoundedRanker:
    """A ranker in half precision behind inputs and outputs in float32.

    REST has no half precision and NumPy no bfloat16, so the user state is
    sent as float32. Widening loses nothing: narrowed again, it is the state
    that was encoded. The methods are those of a `RankingModel`.

    Args:
        original: the ranker that was rounded.
        rounded: the rounded copy, which answers.

    Attributes:
        original: the same.
        schema: the columns of a request.
        layers: of the rounded copy.
        weights: of the rounded copy.
    """

    def __init__(self, original: Any, rounded: Any):
        self.original = original
        self.schema = original.schema
        self.layers = rounded.layers
        self.weights = rounded.weights
        self._rounded = rounded
        traced = tf.function(
            rounded.encode_user, autograph=False
        ).get_concrete_function(column_specs(self.schema, *HISTORY_ROLES))
        state, _ = split_state(traced.structured_outputs)
        self._state_dtypes = {name: t.dtype for name, t in state.items()}

    def __call__(
        self, inputs: Mapping[str, Any], training: bool = False
    ) -> dict[str, Any]:
        """Returns the ranking in float32."""
        return _widened(self._rounded(inputs, training=training))

    def encode_user(self, *inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the user state in float32."""
        return _widened(self._rounded.encode_user(*inputs))

    def rank(
        self, user_state: Mapping[str, Any], *inputs: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Returns the ranking in float32, of a user state in float32."""
        state = {
            name: tf.cast(tensor, self._state_dtypes[name])
            for name, tensor in user_state.items()
        }
        return _widened(self._rounded.rank(state, *inputs))

    def explain(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the explanation in float32."""
        return _widened(self._rounded.explain(inputs))


def compact_tables(model: keras.Model, storage: str) -> int:
    """Replaces the tables of a model that is never trained again.

    Args:
        model: changed in place.
        storage: one of `STORAGES`.

    Returns:
        The number of tables.
    """
    count = 0
    for layer in model._flatten_layers():
        for kind, attribute in _TABLES.items():
            if isinstance(layer, kind):
                _compact(layer, attribute, storage)
                count += 1
    return count


def _compact(layer: Any, attribute: str, storage: str) -> None:
    weight = getattr(layer, attribute)
    compact = CompactTable(weight.numpy(), storage)
    # As Keras' own quantized layers drop the weight they replace.
    layer._tracker.unlock()
    layer._untrack_variable(weight)
    delattr(layer, attribute)
    layer.compact = compact
    layer._tracker.lock()
    layer.gather = compact.lookup


def _widened(tensors: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: tf.cast(tensor, tf.float32)
        if tensor.dtype in (tf.bfloat16, tf.float16)
        else tensor
        for name, tensor in tensors.items()
    }
