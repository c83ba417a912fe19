"""A two-tower model and its index become one version folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from jd_tf.pipeline.catalogue import Catalogue
from jd_tf.pipeline.export.served_towers import ServedTowers
from jd_tf.pipeline.retrieval_index import RetrievalIndex
from jd_tf.serving.errors import ExportError
from jd_tf.serving.export.exporting import first_requests
from jd_tf.serving.export.safe_calls import safe_inputs
from jd_tf.serving.signature_names import (
    ENCODE_ITEMS,
    ENCODE_USER,
    EXCLUDED,
    ITEM_ID,
    NUM_EXCLUDED,
    NUM_FOUND,
    SERVING_DEFAULT,
    VECTOR,
)
from jd_tf.training.retrieval.retrieval_validator import item_vectors
from jd_tf.training.workdir import load_trained


class ServedRetriever(ServedTowers):
    """A two-tower model with an index of a catalogue, as it is served.

    `serving_default` takes the history and context columns that the user
    tower reads, `excluded_item_id` (B, X) and `num_excluded` (B,) int32, and
    answers `item_id` (B, K), `score` (B, K), best first, and `num_found` (B,)
    int32; beyond it ids are 0 or "" and scores the lowest there are. Items of
    the history are not found either, unless the model's `repeats` is set.

    `encode_user` takes the same and answers what a search elsewhere needs: the
    user's `vector` (B, V, D), of which each counts with its largest inner
    product, and `excluded_item_id` (B, L + X), 0 or "" for none.

    `encode_items` answers what the index would hold of a new item.

    Args:
        model: a `TwoTower`.
        catalogue: the items that can be found.
        count: K.
    """

    def __init__(self, model: Any, catalogue: Catalogue, count: int):
        super().__init__(model, catalogue)
        if count < 1:
            raise ExportError(f"`count` must be at least 1. Got: {count}.")
        self.count = count
        self.index = RetrievalIndex(
            catalogue.item_id.tolist(), item_vectors(model, catalogue.columns)
        )

    def kept_weights(self) -> Sequence[Any]:
        """See `ServedTowers`."""
        return self.index.layer.weights

    def specs(self) -> dict[str, dict[str, tf.TensorSpec]]:
        """See `ServedTowers`."""
        dtype = self.schema.item_columns[0].dtype
        users = {
            **self.user_specs(),
            EXCLUDED: tf.TensorSpec((None, None), dtype, EXCLUDED),
            NUM_EXCLUDED: tf.TensorSpec((None,), tf.int32, NUM_EXCLUDED),
        }
        return {
            SERVING_DEFAULT: users,
            ENCODE_USER: users,
            ENCODE_ITEMS: self.item_specs(),
        }

    def inputs_of_items(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """See `ServedTowers`; an item that is excluded for each request."""
        return {
            EXCLUDED: self.catalogue.item_id[rows][:, np.newaxis],
            NUM_EXCLUDED: np.ones(len(rows), np.int32),
        }

    def _serve(self, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        user = self._encode_user(**inputs)
        ids, scores, found = self.index.search(
            user[VECTOR], self.count, user[EXCLUDED]
        )
        return {ITEM_ID: ids, "score": scores, NUM_FOUND: found}

    def _encode_user(self, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        specs = self.specs()[SERVING_DEFAULT]
        safe = safe_inputs(inputs, specs, self.schema.columns())
        excluded = [_real(safe[EXCLUDED], safe[NUM_EXCLUDED])]
        if not self.model.config.softmax.repeats:
            behavior = self.model.behavior
            history = safe[f"{behavior.name}_{ITEM_ID}"]
            excluded.append(_real(history, safe[behavior.length]))
        return {
            VECTOR: self.model.encode_user(safe),
            EXCLUDED: tf.concat(excluded, axis=1),
        }


def export_retrieval(
    workdir: str | Path,
    catalogue: Catalogue,
    data: str | Path | None = None,
    output: str | Path = "saved_models",
    name: str = "",
    count: int = 500,
) -> Path:
    """Exports the best weights of a run with an index of a catalogue.

    Called again with a larger catalogue it writes the next version, in which
    new items can be found too; nothing is trained.

    Args:
        workdir: of `train_retrieval`.
        catalogue: the items that can be found.
        data: source of the requests of the recorded calls: a data folder or
            a file of requests; None generates them.
        output: the folder of all models.
        name: of the model; by default its registered name.
        count: items K that an answer has at most.

    Returns:
        The version folder, verified.

    Raises:
        DataError: if run, catalogue or requests do not fit, or the SavedModel
            is refused.
    """
    model = load_trained(workdir)
    requests = first_requests(data, model.schema)
    return export_retriever(model, catalogue, output, name, count, requests)


def export_retriever(
    model: Any,
    catalogue: Catalogue,
    output: str | Path,
    name: str = "",
    count: int = 500,
    requests: Sequence[Mapping[str, Any]] | None = None,
) -> Path:
    """Writes, verifies and publishes the next version of a live model.

    Arguments are those of `export_retrieval`; `requests` are unpadded.
    """
    served = ServedRetriever(model, catalogue, count)
    name = name or model.registered_name
    return served.export(output, name, requests, {"count": served.count})


def _real(ids: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """Returns ids (B, X) with padding beyond the length."""
    # What a server pads with is another's first element.
    inside = tf.range(tf.shape(ids)[1]) < length[:, tf.newaxis]
    return tf.where(inside, ids, tf.zeros_like(ids))
