"""Replaces the image vectors of a trained ranker, without training."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from jd_tf.data.batches import read_batches
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

    A candidate is touched if it is such an item or has one in its histories.
    `wrongly_moved` counts changed scores of others: must be 0.
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
            f"such an item moved, by at most {self.largest:.3g}; "
            f"{self.wrongly_moved:,} of {self.untouched:,} others moved"
        )


def refresh(
    workdir: str | Path,
    item_vectors: str | Path,
    data: str | Path,
    output: str | Path = "saved_models",
    name: str = "",
    split: str = "test",
    max_batches: int = 50,
    log: Callable[[str], object] = print,
) -> Path | None:
    """Exports the trained ranker of a run with other image vectors.

    Scores requests before and after, and exports only if no score moved but
    of candidates that see an item with another vector. The run is not
    changed.

    Args:
        workdir: of the run.
        item_vectors: file of all image vectors from now on.
        data: data folder.
        output: the folder of all models.
        name: of the model; by default its registered name.
        split: of the data, that is scored.
        max_batches: largest number of batches that are scored.
        log: gets the report.

    Returns:
        The version folder; None if a score moved that must not.

    Raises:
        DataError: if run, vectors or data cannot be used.
    """
    before = load_trained(workdir)
    vectors = ItemVectors.load(item_vectors)
    after = with_images(before, vectors)
    batches = read_batches(data, split, _BATCH_SIZE, schema=before.schema)
    report = compare(before, after, batches.take(max_batches))
    log(report.text())
    if report.wrongly_moved:
        return None
    return export(workdir, data, output, name, model=after)


def with_images(model: Any, vectors: ItemVectors) -> Any:
    """Copies a ranker with other image vectors."""
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
    config = model.get_config()
    if len(vectors.item_ids) > table.num_rows:
        more = {"num_image_rows": len(vectors.item_ids)}
        config["config"] = replace_fields(model.config, more)
    copy = model.__class__.from_config(config)
    frozen = {id(weight) for weight in _image_table(copy).weights}
    for mine, theirs in zip(copy.weights, model.weights, strict=True):
        if id(mine) not in frozen:
            mine.assign(theirs)
    _image_table(copy).assign(vectors.item_ids, vectors.vectors)
    return copy


def compare(
    before: Any, after: Any, batches: Iterable[Mapping[str, Any]]
) -> RefreshReport:
    """Scores the same requests with both and counts the scores that moved."""
    added, changed, removed = _differences(before, after)
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
        touched.append(_touched(before, batch, keys)[real])
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
