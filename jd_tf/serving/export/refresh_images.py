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
from jd_tf.schema import SERVING_ROLES, DataError
from jd_tf.serving.export.export_run import export
from jd_tf.training.workdir import load_trained

_ROWS = "num_image_rows"
_BATCH_SIZE = 64


@dataclasses.dataclass(frozen=True)
class RefreshReport:
    """Changes of items and scores by a refresh.

    Attributes:
        added: items whose vector is new.
        changed: items whose vector is another one.
        removed: items whose vector is gone.
        touched: candidates that have such an item in their histories, or are
            one.
        untouched: all other candidates compared.
        moved: touched candidates whose score changed.
        wrongly_moved: untouched candidates whose score changed: must be 0.
        largest: the largest change of a touched candidate's score.
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
    """Copies a ranker with other image vectors.

    Args:
        model: a `RankingModel` that reads images from a `VectorTable`.
        vectors: those of the copy; it has no others.

    Returns:
        A new model; its image table grows where there is no room.

    Raises:
        DataError: if the model reads no images, vectors of another width, or
            of items whose ids have another dtype.
    """
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
    rows = max(table.num_rows, len(vectors.item_ids))
    copy = model.__class__.from_config(_with_rows(model.get_config(), rows))
    frozen = {id(weight) for weight in _image_table(copy).weights}
    for mine, theirs in zip(copy.weights, model.weights, strict=True):
        if id(mine) not in frozen:
            mine.assign(theirs)
    _image_table(copy).assign(vectors.item_ids, vectors.vectors)
    return copy


def compare(
    before: Any, after: Any, batches: Iterable[Mapping[str, Any]]
) -> RefreshReport:
    """Scores the same requests with both and counts the scores that moved.

    Args:
        before: a `RankingModel`.
        after: of `with_images`.
        batches: of requests, as `read_batches` yields them.

    Returns:
        Counts of items and candidates.
    """
    added, changed, removed = _differences(before, after)
    keys = np.concatenate([added, changed, removed])
    counts = dict.fromkeys(
        ("touched", "untouched", "moved", "wrongly_moved"), 0
    )
    largest = 0.0
    served = before.schema.columns(*SERVING_ROLES)
    specs = {c.name: tf.TensorSpec(c.shape, c.dtype) for c in served}
    scores = [
        tf.function(_scores(model), [specs], autograph=False)
        for model in (before, after)
    ]
    for batch in batches:
        batch = {name: batch[name] for name in specs}
        one, other = (score(batch).numpy() for score in scores)
        touched = _touched(before, batch, keys)
        width = one.shape[1]
        real = np.arange(width) < batch["num_candidates"].numpy()[:, None]
        moved = (one != other) & real
        counts["touched"] += int((touched & real).sum())
        counts["untouched"] += int((~touched & real).sum())
        counts["moved"] += int((moved & touched).sum())
        counts["wrongly_moved"] += int((moved & ~touched).sum())
        change = np.abs(one - other)[real & touched]
        largest = max(largest, float(change.max(initial=0.0)))
    return RefreshReport(
        len(added), len(changed), len(removed), **counts, largest=largest
    )


def _scores(model: Any) -> Callable[[Mapping[str, Any]], Any]:
    return lambda batch: model(batch)["score"]


def _image_table(model: Any) -> VectorTable:
    for layer in model._flatten_layers():
        if isinstance(layer, VectorTable):
            return layer
    raise DataError("the ranker reads no images: train it with --item_vectors.")


def _with_rows(config: Any, rows: int) -> Any:
    """Sets the rows of the image table, in whichever group they are."""
    if not isinstance(config, Mapping):
        return config
    return {
        name: rows if name == _ROWS else _with_rows(value, rows)
        for name, value in config.items()
    }


def _differences(before: Any, after: Any) -> tuple:
    """Returns the keys that were added, changed and removed."""
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
