"""Coarse ranking: precomputed item vectors, one vector of the user."""

from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from jd_tf.data.files import plain_path
from jd_tf.models.retrieval.coarse_tower import CoarseTower
from jd_tf.pipeline.catalogue import Catalogue
from jd_tf.pipeline.stages.stage import ScoredItems, UserRequest
from jd_tf.schema import DataError

MODEL_FILE = "coarse.keras"
_BATCH_SIZE = 4096


class CoarseStage:
    """Orders by the product of the user's vector with those of items.

    The vectors of all items of the catalogue are computed when it is made.

    Args:
        model: trained by `train_coarse`.
        catalogue: of all items.
        name: of the stage.
    """

    def __init__(
        self, model: CoarseTower, catalogue: Catalogue, name: str = "coarse"
    ):
        self.name = name
        self.schema = model.schema
        self._catalogue = catalogue
        self._columns = {
            c.name: c
            for c in model.schema.columns()
            if c.name in model.user_columns
        }
        specs = {
            name: tf.TensorSpec(column.shape, column.dtype)
            for name, column in self._columns.items()
        }
        # Traced now: a trace in the first request would take all its time.
        self._user = tf.function(
            model.encode_user, input_signature=[specs], autograph=False
        ).get_concrete_function()
        self.vectors = item_vectors(model, catalogue)

    @classmethod
    def load(cls, folder: str | Path, catalogue: Catalogue) -> "CoarseStage":
        """Reads the model that `train_coarse` wrote.

        Raises:
            DataError: if there is none.
        """
        path = Path(folder) / MODEL_FILE
        if not path.is_file():
            raise DataError(
                f"{path}: no coarse model. Train one by `train_coarse`, or "
                "leave `coarse` out of the file."
            )
        with plain_path(path.parent) as plain:
            model = keras.saving.load_model(plain / MODEL_FILE, compile=False)
        return cls(model, catalogue)

    def order(
        self,
        request: UserRequest,
        items: ScoredItems,
        count: int,
        seconds: float,
    ) -> ScoredItems:
        """See `RankingStage`."""
        del seconds
        user = self.user_vector(request.batch)
        rows = self._catalogue.rows(items.item_id)
        score = self.vectors[rows] @ user
        if count < len(score):
            best = np.argpartition(-score, count - 1)[:count]
            best = best[np.argsort(-score[best], kind="stable")]
        else:
            best = np.argsort(-score, kind="stable")
        return ScoredItems(items.item_id[best], score[best])

    def user_vector(self, batch: Mapping[str, np.ndarray]) -> np.ndarray:
        """Returns (D + 1,) of a padded batch of one request."""
        inputs = {name: tf.constant(batch[name]) for name in self._columns}
        return self._user(inputs).numpy()[0]


def item_vectors(model: CoarseTower, catalogue: Catalogue) -> np.ndarray:
    """Returns (I, D + 1) float32 vectors by row of the catalogue."""
    parts = []
    for start in range(0, len(catalogue), _BATCH_SIZE):
        columns = {
            name: tf.constant(
                catalogue.columns[name][None, start : start + _BATCH_SIZE]
            )
            for name in model.item_columns
        }
        parts.append(model.encode_items(columns).numpy()[0])
    return np.concatenate(parts)
