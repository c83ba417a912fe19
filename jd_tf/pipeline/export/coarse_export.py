"""A coarse tower and the vectors of a catalogue become one version folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from jd_tf.layers.embedding.id_keys import find_rows, id_keys
from jd_tf.models.retrieval.coarse_tower import CoarseTower
from jd_tf.pipeline.catalogue import Catalogue
from jd_tf.pipeline.export.served_towers import ServedTowers
from jd_tf.schema import Role
from jd_tf.serving.errors import ExportError
from jd_tf.serving.export.safe_calls import safe_inputs, safe_outputs
from jd_tf.serving.export.signatures import column_specs
from jd_tf.serving.signature_names import (
    ENCODE_ITEMS,
    ENCODE_USER,
    ITEM_ID,
    LOWEST_SCORE,
    NUM_CANDIDATES,
    SERVING_DEFAULT,
    VECTOR,
)
from jd_tf.training.retrieval.retrieval_validator import item_vectors

NAME = "coarse_tower"
# Candidates of a recorded call.
_NUM_CANDIDATES = 16


class ServedCoarse(ServedTowers):
    """A coarse tower with the vectors of a catalogue, as it is served.

    `serving_default` takes the history and context columns that the user half
    reads, `item_id` (B, N) and `num_candidates` (B,) int32, and answers
    `score` (B, N): the product of the user's vector with that of the item,
    which lies in the SavedModel, so that ids alone travel. Ids that are not in
    the catalogue, and padding, have the lowest score there is.

    `encode_user` takes the former alone and answers the user's `vector`
    (B, D); `encode_items` answers what a table elsewhere would hold of items.

    Args:
        model: trained by `train_coarse`.
        catalogue: the items that are scored.

    Raises:
        ExportError: as of `ServedTowers`, or two ids have one hash.
    """

    def __init__(self, model: CoarseTower, catalogue: Catalogue):
        super().__init__(model, catalogue)
        self._dtype = self.schema.item_columns[0].dtype
        keys = self._keys_of(
            tf.constant(catalogue.item_id.tolist(), self._dtype)
        ).numpy()
        order = np.argsort(keys)
        if not np.diff(keys[order]).all():
            raise ExportError("two item ids of the catalogue have one hash.")
        vectors = item_vectors(model, catalogue.columns)
        self._keys = tf.Variable(keys[order], trainable=False)
        self._vectors = tf.Variable(vectors[order], trainable=False)

    def kept_weights(self) -> Sequence[Any]:
        """See `ServedTowers`."""
        return self._keys, self._vectors

    def specs(self) -> dict[str, dict[str, tf.TensorSpec]]:
        """See `ServedTowers`."""
        users = self.user_specs()
        given = column_specs(self.schema, Role.CANDIDATE)
        names = (ITEM_ID, NUM_CANDIDATES)
        return {
            SERVING_DEFAULT: {**users, **{n: given[n] for n in names}},
            ENCODE_USER: users,
            ENCODE_ITEMS: self.item_specs(),
        }

    def inputs_of_items(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """See `ServedTowers`; as many candidates as fit, and fewer."""
        width = min(_NUM_CANDIDATES, len(self.catalogue))
        place = np.arange(width)
        count = width - np.arange(len(rows)) % width
        ids = self.catalogue.item_id[
            (rows[:, np.newaxis] + place) % len(self.catalogue)
        ]
        empty = b"" if ids.dtype == object else 0
        return {
            ITEM_ID: np.where(place < count[:, np.newaxis], ids, empty),
            NUM_CANDIDATES: count.astype(np.int32),
        }

    def _serve(self, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        specs = self.specs()[SERVING_DEFAULT]
        safe = safe_inputs(inputs, specs, self.schema.columns())
        keys = self._keys_of(safe[ITEM_ID])
        rows, known = find_rows(self._keys, keys)
        items = tf.gather(self._vectors, rows)
        users = self.model.encode_user(safe)[:, :, tf.newaxis]
        score = tf.squeeze(tf.matmul(items, users), axis=-1)
        score = tf.where(known, score, LOWEST_SCORE)
        return safe_outputs({"score": score}, inputs, safe[NUM_CANDIDATES])

    def _encode_user(self, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        specs = self.specs()[ENCODE_USER]
        safe = safe_inputs(inputs, specs, self.schema.columns())
        return {VECTOR: self.model.encode_user(safe)}

    def _keys_of(self, ids: tf.Tensor) -> tf.Tensor:
        return id_keys(ids, self._dtype, ITEM_ID)


def export_coarse(
    model: CoarseTower,
    catalogue: Catalogue,
    output: str | Path,
    name: str = NAME,
    requests: Sequence[Mapping[str, Any]] | None = None,
) -> Path:
    """Writes, verifies and publishes the next version of a coarse tower.

    With another catalogue it scores new items; nothing is trained.

    Args:
        model: trained by `train_coarse`.
        catalogue: the items that are scored.
        output: the folder of all models.
        name: of the model in there.
        requests: unpadded, of the recorded calls; None generates them.

    Returns:
        The version folder.

    Raises:
        ExportError: the SavedModel is refused; nothing is left behind.
    """
    return ServedCoarse(model, catalogue).export(output, name, requests, {})
