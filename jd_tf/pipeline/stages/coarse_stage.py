"""Coarse ranking: precomputed item vectors, one vector of the user."""

from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from jd_tf.data.files import plain_path
from jd_tf.models.retrieval.coarse_tower import CoarseTower
from jd_tf.pipeline.catalogue import Catalogue
from jd_tf.pipeline.stages.answers import best_first
from jd_tf.pipeline.stages.stage import ScoredItems, UserRequest
from jd_tf.schema import DataError
from jd_tf.training.retrieval.retrieval_validator import item_vectors

MODEL_FILE = "coarse.keras"


class CoarseStage:
    """Orders by the product of the user's vector with those of items.

    The vectors of all items of the catalogue are computed when it is made.

    Args:
        model: trained by `train_coarse`.
        catalogue: of all items.
    """

    name = "coarse"

    def __init__(self, model: CoarseTower, catalogue: Catalogue):
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
        self.vectors = item_vectors(model, catalogue.columns)

    @classmethod
    def load(cls, folder: str | Path, catalogue: Catalogue) -> "CoarseStage":
        """Reads the model as `load_coarse` does."""
        return cls(load_coarse(folder), catalogue)

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
        return best_first(items, score, count)

    def user_vector(self, batch: Mapping[str, np.ndarray]) -> np.ndarray:
        """Returns (D + 1,) of a padded batch of one request."""
        inputs = {name: tf.constant(batch[name]) for name in self._columns}
        return self._user(inputs).numpy()[0]


def load_coarse(folder: str | Path) -> CoarseTower:
    """Reads the model that `train_coarse` wrote.

    Raises:
        DataError: if there is none.
    """
    path = Path(folder) / MODEL_FILE
    if not path.is_file():
        raise DataError(
            f"{path}: no coarse model. Train one by `train_coarse`, or leave "
            "`coarse` out of the file."
        )
    with plain_path(path.parent) as plain:
        return keras.saving.load_model(plain / MODEL_FILE, compile=False)
