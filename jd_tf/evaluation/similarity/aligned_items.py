"""What the transfer layer of a trained ranker makes of items."""

from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from jd_tf.data.item_vectors import ItemVectors
from jd_tf.evaluation.collect import Batch, to_numpy
from jd_tf.evaluation.similarity.gate_use import GateUse
from jd_tf.metrics.cells import real_cells
from jd_tf.models.ranking.jd_ranker import JDRanker
from jd_tf.schema import DataError

_CHUNK = 1024


def aligned_items(
    model: JDRanker, batches: Iterable[Batch], where: str = "the ranker"
) -> tuple[ItemVectors, GateUse]:
    """Pictures and titles of all candidates, as the ranker has aligned them.

    Args:
        model: a ranker with a transfer layer.
        batches: of requests; each item is taken where it first stands.
        where: named in errors and in the vectors.

    Returns:
        The transfer layer's output for candidates, one vector an item; and
        the gates of candidates and of every behaviour.

    Raises:
        DataError: if the ranker has no transfer layer, or there are no items.
    """
    encoder = model.item_encoder
    if encoder.transfer is None:
        raise DataError(
            f"{where}: has no transfer layer; train with --item_vectors and "
            "--use_images=transfer."
        )
    columns = _first_of_each(
        [c.name for c in model.schema.item_columns], batches
    )
    item_ids = columns[0]
    if not len(item_ids):
        raise DataError("there are no candidates to align.")
    vectors, gates = [], []
    for start in range(0, len(item_ids), _CHUNK):
        chunk = [
            tf.constant(column[None, start : start + _CHUNK])
            for column in columns
        ]
        learned = encoder.embed(chunk)
        aligned = encoder.transfer(
            *zip(*encoder.contents(chunk), strict=True), learned
        )
        vectors.append(aligned.numpy()[0])
        listened = [
            encoder.transfer.gate_weights(learned, consumer=number).numpy()[0]
            for number in range(encoder.transfer.num_consumers)
        ]
        gates.append(np.stack(listened, axis=1))
    if item_ids.dtype == object:
        item_ids = np.array([item.decode("utf-8") for item in item_ids])
    aligned = ItemVectors(
        item_ids, np.concatenate(vectors).astype(np.float32), where=where
    )
    behaviors = (behavior.name for behavior in model.schema.behaviors)
    modalities = ["image"] * (encoder.images is not None) + list(encoder.texts)
    use = GateUse(
        item_ids,
        np.concatenate(gates),
        ("candidate", *behaviors),
        tuple(
            f"{name} {number}"
            for name in modalities
            for number in range(encoder.transfer.num_experts)
        ),
    )
    return aligned, use


def _first_of_each(
    names: list[str], batches: Iterable[Batch]
) -> list[np.ndarray]:
    """Columns of the distinct candidates, ordered by item id."""
    found: dict = {}
    for raw in batches:
        batch = to_numpy(raw)
        real = real_cells(batch["num_candidates"], batch[names[0]].shape[1])
        ids, first = np.unique(batch[names[0]][real], return_index=True)
        rows = zip(*(batch[name][real][first] for name in names), strict=True)
        for item, row in zip(ids, rows, strict=True):
            found.setdefault(item, row)
    items = sorted(found)
    dtype = object if items and isinstance(items[0], bytes) else None
    columns = zip(*(found[item] for item in items), strict=True)
    return [
        np.array(column, object if isinstance(column[0], bytes) else dtype)
        for column in columns
    ] or [np.zeros(0, np.int64)]
