"""Replaces image vectors and pairs of a trained ranker, without training."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from jd_tf.data.batches import read_batches
from jd_tf.data.item_pairs.item_pairs import ItemPairs
from jd_tf.data.item_vectors import ItemVectors
from jd_tf.layers import VectorTable
from jd_tf.models.config_fields import replace_fields
from jd_tf.schema import SERVING_ROLES, DataError
from jd_tf.serving.export.exporting import export
from jd_tf.training.workdir import load_trained

_BATCH_SIZE = 64


@dataclasses.dataclass(frozen=True)
class RefreshReport:
    """Numbers of items with another vector, and of candidates.

    A candidate is touched if it is such an item, has one in its histories or
    has other pair features. `wrongly_moved` counts changed scores of others:
    must be 0.
    """

    added: int
    changed: int
    removed: int
    touched: int
    untouched: int
    moved: int
    wrongly_moved: int
    largest: float

    def text(self) -> str:
        """Returns a summary of two lines."""
        return (
            f"image vectors: {self.added:,} added, {self.changed:,} changed, "
            f"{self.removed:,} removed\n"
            f"scores: {self.moved:,} of {self.touched:,} candidates that see "
            f"another one moved, by at most {self.largest:.3g}; "
            f"{self.wrongly_moved:,} of {self.untouched:,} others moved"
        )


def refresh(
    workdir: str | Path,
    data: str | Path,
    item_vectors: str | Path | None = None,
    pairs: str | Path | None = None,
    output: str | Path = "saved_models",
    name: str = "",
    split: str = "test",
    max_batches: int = 50,
    log: Callable[[str], object] = print,
) -> Path | None:
    """Exports the trained ranker of a run with other image vectors or pairs.

    Scores requests before and after, and exports only if no score moved but
    of candidates that see another vector or pair. The run is not changed.

    Args:
        workdir: of the run.
        data: data folder.
        item_vectors: file of all image vectors from now on; None: as before.
        pairs: file of all item pairs from now on; likewise.
        output: the folder of all models.
        name: of the model; by default its registered name.
        split: of the data, that is scored.
        max_batches: largest number of batches that are scored.
        log: gets the report.

    Returns:
        The version folder; None if a score moved that must not.

    Raises:
        DataError: if run, vectors, pairs or data cannot be used.
    """
    if item_vectors is None and pairs is None:
        raise DataError("give --item_vectors, --pairs or both.")
    before = load_trained(workdir)
    vectors = None if item_vectors is None else ItemVectors.load(item_vectors)
    tables = None if pairs is None else ItemPairs.load(pairs)
    after = with_tables(before, vectors, tables)
    batches = read_batches(data, split, _BATCH_SIZE, schema=before.schema)
    report = compare(before, after, batches.take(max_batches))
    log(report.text() + (f"\n{tables.summary()}" if tables else ""))
    if report.wrongly_moved:
        return None
    return export(workdir, data, output, name, model=after)


def with_tables(
    model: Any, vectors: ItemVectors | None, pairs: ItemPairs | None
) -> Any:
    """Copies a ranker with other image vectors, pairs or both."""
    changes: dict[str, Any] = {}
    if vectors is not None:
        _check_vectors(model, vectors)
        count = max(len(vectors.item_ids), _image_table(model).num_rows)
        changes["num_image_rows"] = count
    if pairs is not None:
        _check_pairs(model, pairs)
        changes |= pairs.model_fields()
    config = model.get_config()
    config["config"] = replace_fields(model.config, changes)
    copy = model.__class__.from_config(config)
    replaced = [_image_table(copy)] if vectors is not None else []
    replaced += copy.pairs.tables.values() if pairs is not None else []
    others = {id(weight) for table in replaced for weight in table.weights}
    for mine, theirs in zip(copy.weights, model.weights, strict=True):
        if id(mine) not in others:
            mine.assign(theirs)
    if vectors is not None:
        _image_table(copy).assign(vectors.item_ids, vectors.vectors)
    if pairs is not None:
        copy.pairs.assign(pairs.columns)
    return copy


def _check_pairs(model: Any, pairs: ItemPairs) -> None:
    if model.pairs is None:
        raise DataError("the ranker reads no pairs: train it with --pairs.")
    columns, kinds = tuple(model.pairs.columns), model.pairs.kinds
    if (tuple(pairs.columns), pairs.kinds) != (columns, kinds):
        raise DataError(
            f"{pairs.where}: pairs of {', '.join(pairs.columns)} and kinds "
            f"{', '.join(pairs.kinds)}, the ranker was trained on others: "
            f"make them with --columns={','.join(columns)} "
            f"--kinds={','.join(kinds)}."
        )


def _check_vectors(model: Any, vectors: ItemVectors) -> None:
    table = _image_table(model)
    if vectors.width != table.dim:
        raise DataError(
            f"{vectors.where}: vectors are {vectors.width} wide, the ranker "
            f"was trained on {table.dim}. Embed the catalogue with the "
            "image tower it was trained with."
        )
    kind = "string" if vectors.item_ids.dtype.kind == "U" else "int64"
    if kind != table.id_dtype:
        raise DataError(
            f"{vectors.where}: `item_ids` are {kind}, but `item_id` of schema "
            f"`{model.schema.name}` is {table.id_dtype}. Embed the catalogue "
            "of this shop."
        )


def compare(
    before: Any, after: Any, batches: Iterable[Mapping[str, Any]]
) -> RefreshReport:
    """Scores the same requests with both and counts the scores that moved."""
    has_images = bool(before.config.content.use_images)
    added, changed, removed = (
        _differences(before, after) if has_images else (np.zeros(0),) * 3
    )
    keys = np.concatenate([added, changed, removed])
    served = before.schema.columns(*SERVING_ROLES)
    specs = {c.name: tf.TensorSpec(c.shape, c.dtype) for c in served}
    live, new = (
        tf.function(model, [specs], autograph=False)
        for model in (before, after)
    )
    touched, moves = [np.zeros(0, bool)], [np.zeros(0)]
    for batch in batches:
        batch = {name: batch[name] for name in specs}
        move = np.abs(live(batch)["score"] - new(batch)["score"])
        counts = batch["num_candidates"].numpy()[:, None]
        real = np.arange(move.shape[1]) < counts
        seen = np.zeros(real.shape, bool)
        if has_images:
            seen |= _touched(before, batch, keys)
        if before.pairs is not None:
            old, other = (
                model.pairs.read(model.encode_histories(batch), batch)
                for model in (before, after)
            )
            seen |= (old != other).numpy().any(axis=-1)
        touched.append(seen[real])
        moves.append(move[real])
    seen, move = np.concatenate(touched), np.concatenate(moves)
    return RefreshReport(
        len(added),
        len(changed),
        len(removed),
        touched=int(seen.sum()),
        untouched=int((~seen).sum()),
        moved=int((move[seen] != 0).sum()),
        wrongly_moved=int((move[~seen] != 0).sum()),
        largest=float(move[seen].max(initial=0.0)),
    )


def _image_table(model: Any) -> VectorTable:
    for layer in model._flatten_layers():
        if isinstance(layer, VectorTable):
            return layer
    raise DataError("the ranker reads no images: train it with --item_vectors.")


def _differences(before: Any, after: Any) -> tuple:
    old, new = (_image_table(model).filled() for model in (before, after))
    both, here, there = np.intersect1d(old[0], new[0], return_indices=True)
    other = (old[1][here] != new[1][there]).any(axis=1)
    return np.setdiff1d(new[0], both), both[other], np.setdiff1d(old[0], both)


def _touched(
    model: Any, batch: Mapping[str, Any], keys: np.ndarray
) -> np.ndarray:
    """Returns [B, N] bool: candidate or history holds one of the keys."""
    table = _image_table(model)
    touched = np.isin(table.keys_of(batch["item_id"]), keys)
    for behavior in model.schema.behaviors:
        events = table.keys_of(batch[f"{behavior.name}_item_id"])
        length = batch[behavior.length].numpy()[:, None]
        real = np.arange(events.shape[1]) < length
        touched |= (np.isin(events, keys) & real).any(axis=1)[:, None]
    return touched
