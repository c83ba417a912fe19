"""New pictures into a trained ranker, and the proof that nothing else moved."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from jd_tf.columns import SERVING_ROLES, DataError
from jd_tf.data.item_vectors import ItemVectors
from jd_tf.models.ranking.jd_ranker import JDRanker

_IMAGES = "item_encoder/images/"


@dataclasses.dataclass(frozen=True)
class RefreshReport:
    """What a refresh did to the items and to scores.

    Attributes:
        added, changed, removed: items whose vector is new, another, gone.
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
        """Two lines for a person."""
        return (
            f"image vectors: {self.added:,} added, {self.changed:,} changed, "
            f"{self.removed:,} removed\n"
            f"scores: {self.moved:,} of {self.touched:,} candidates that see "
            f"such an item moved, by at most {self.largest:.3g}; "
            f"{self.wrongly_moved:,} of {self.untouched:,} others moved"
        )


def with_images(model: JDRanker, vectors: ItemVectors) -> JDRanker:
    """The same ranker with other image vectors.

    Args:
        model: a ranker that reads images.
        vectors: those it shall read from now on; all others are gone.

    Returns:
        A new ranker; its image table grows where there is no room.

    Raises:
        DataError: if the ranker reads no images, or vectors of another width.
    """
    config = model.config
    if not config.use_images:
        raise DataError(
            "the ranker reads no images: train it with --item_vectors."
        )
    if vectors.width != config.image_dim:
        raise DataError(
            f"{vectors.where}: vectors are {vectors.width} wide, the ranker "
            f"was trained on {config.image_dim}. Embed the catalogue with the "
            "image tower it was trained with."
        )
    rows = max(config.num_image_rows, len(vectors.item_ids))
    other = JDRanker(
        model.schema, dataclasses.replace(config, num_image_rows=rows)
    )
    for mine, theirs in zip(other.weights, model.weights, strict=True):
        if _IMAGES not in theirs.path:
            mine.assign(theirs)
    other.assign_images(vectors.item_ids, vectors.vectors)
    return other


def compare(
    before: JDRanker, after: JDRanker, batches: Iterable[Mapping[str, Any]]
) -> RefreshReport:
    """Scores the same requests with both and sorts out what may move.

    Args:
        before: the ranker as it was.
        after: of `with_images`.
        batches: of requests, as `read_batches` yields them.

    Returns:
        What moved.
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


def _scores(model: JDRanker) -> Any:
    return lambda batch: model(batch)["score"]


def _differences(before: JDRanker, after: JDRanker) -> tuple:
    """Keys of the image tables: added, changed and removed ones."""
    old, new = (
        ranker.item_encoder.images.filled() for ranker in (before, after)
    )
    both, here, there = np.intersect1d(old[0], new[0], return_indices=True)
    other = (old[1][here] != new[1][there]).any(axis=1)
    return np.setdiff1d(new[0], both), both[other], np.setdiff1d(old[0], both)


def _touched(
    model: JDRanker, batch: Mapping[str, Any], keys: np.ndarray
) -> np.ndarray:
    """[B, N] bool: candidate or history holds one of the keys."""
    table = model.item_encoder.images
    touched = np.isin(table.keys_of(batch["item_id"]), keys)
    for behavior in model.schema.behaviors:
        events = table.keys_of(batch[f"{behavior.name}_item_id"])
        length = batch[behavior.length].numpy()[:, None]
        real = np.arange(events.shape[1]) < length
        touched |= (np.isin(events, keys) & real).any(axis=1)[:, None]
    return touched
