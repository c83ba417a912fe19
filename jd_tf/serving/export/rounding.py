"""A trained ranker made smaller: half precision, compact tables."""

from typing import Any

import keras

from jd_tf.layers import IdEmbedding, TextEncoder, VectorTable
from jd_tf.serving.errors import ExportError
from jd_tf.serving.export.compact_table import STORAGES, CompactTable
from jd_tf.serving.export.comparison import TOLERANCE
from jd_tf.serving.export.rounded_ranker import RoundedRanker

DTYPES = ("float32", "bfloat16")
FLOAT32 = "float32"
# How far a reloaded model may be from the live one: bfloat16 keeps 8 bits, and
# a graph rounds at other places than eager code does.
TOLERANCES = {"float32": TOLERANCE, "bfloat16": 0.03}
# What is a table, and the weight that holds it.
_TABLES = {IdEmbedding: "table", TextEncoder: "table", VectorTable: "vectors"}


def round_ranker(
    model: Any, dtype: str = FLOAT32, tables: str = FLOAT32
) -> Any:
    """A copy of a ranker that computes or remembers in fewer bits.

    Args:
        model: the live ranker; stays as it is.
        dtype: of activations; one of `DTYPES`. Weights other than tables
            stay float32, and so do all inputs and outputs.
        tables: how vectors of ids, words and pictures are kept; one of
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
    copy = _copy(model, dtype)
    if tables != FLOAT32:
        try:
            num_tables = compact_tables(copy, tables)
        except ValueError as error:
            raise ExportError(f"tables in {tables}: {error}") from error
        if not num_tables:
            raise ExportError("the ranker has no tables that could shrink.")
    return RoundedRanker(model, copy)


def compact_tables(model: keras.Model, storage: str) -> int:
    """Replaces the tables of a model that is never trained again.

    Args:
        model: changed in place.
        storage: one of `STORAGES`.

    Returns:
        How many there were.
    """
    layers = [layer for layer in model._flatten_layers() if _table_of(layer)]
    for layer in layers:
        attribute = _table_of(layer)
        weight = getattr(layer, attribute)
        compact = CompactTable(weight.numpy(), storage)
        # As Keras' own quantized layers drop the weight they replace.
        layer._tracker.unlock()
        layer._untrack_variable(weight)
        delattr(layer, attribute)
        layer.compact = compact
        layer._tracker.lock()
        layer.gather = compact.lookup
    return len(layers)


def _table_of(layer: Any) -> str:
    """Name of the layer's table; empty if it has none."""
    return next(
        (n for kind, n in _TABLES.items() if isinstance(layer, kind)), ""
    )


def _copy(model: Any, dtype: str) -> Any:
    config = dict(model.get_config())
    if dtype != FLOAT32:
        config["dtype"] = f"mixed_{dtype}"
    copy = type(model).from_config(config)
    for mine, theirs in zip(copy.weights, model.weights, strict=True):
        mine.assign(theirs)
    return copy
