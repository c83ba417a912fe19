"""Items as the transfer layer of a trained ranker aligns them."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from jd_tf.data.item_vectors import ItemVectors
from jd_tf.evaluation.similarity.gate_use import GateUse
from jd_tf.models.ranking.jd_ranker import JDRanker
from jd_tf.schema import DataError

_CHUNK = 1024


def aligned_items(
    model: JDRanker,
    batches: Iterable[Mapping[str, Any]],
    where: str = "the ranker",
) -> tuple[ItemVectors, GateUse]:
    """Aligns pictures and titles of all candidates, item by item.

    Each item is taken where it first stands in `batches`; errors and the
    vectors name `where`. Returns the transfer layer's output for candidates,
    one vector an item; and the gates of candidates and of every behaviour.
    """
    encoder: Any = getattr(model, "item_encoder", None)
    transfer = getattr(encoder, "transfer", None)
    if transfer is None:
        raise DataError(
            f"{where}: has no transfer layer; train with --item_vectors and "
            "--use_images=transfer."
        )
    names = [column.name for column in model.schema.item_columns]
    parts: list[list[np.ndarray]] = []
    for batch in batches:
        shown = np.asarray(batch["num_candidates"])[:, None]
        real = np.arange(batch[names[0]].shape[1]) < shown
        parts.append([np.asarray(batch[name])[real] for name in names])
    columns = [np.concatenate(part) for part in zip(*parts, strict=True)]
    if not columns or not len(columns[0]):
        raise DataError("there are no candidates to align.")
    item_ids, first = np.unique(columns[0], return_index=True)
    vectors, gates = [], []
    for start in range(0, len(first), _CHUNK):
        rows = first[start : start + _CHUNK]
        chunk = [tf.constant(column[None, rows]) for column in columns]
        learned = encoder.embed(chunk)
        contents = zip(*encoder.content_embeddings(chunk), strict=True)
        vectors.append(transfer(*contents, learned).numpy()[0])
        weights = [
            transfer.gate_weights(learned, gate).numpy()[0]
            for gate in range(transfer.num_gates)
        ]
        gates.append(np.stack(weights, axis=1))
    if item_ids.dtype == object:
        item_ids = np.array([item.decode("utf-8") for item in item_ids])
    consumers = ("candidate", *(b.name for b in model.schema.behaviors))
    modalities = ["image"] * (encoder.images is not None) + list(encoder.texts)
    experts = tuple(
        f"{name} {number}"
        for name in modalities
        for number in range(transfer.num_experts)
    )
    joined = np.concatenate(vectors).astype(np.float32)
    use = GateUse(item_ids, np.concatenate(gates), consumers, experts)
    return ItemVectors(item_ids, joined, where=where), use
