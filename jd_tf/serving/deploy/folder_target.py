"""A version folder in this process, as shadow traffic asks it."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jd_tf.serving.export.loading import LoadedModel
from jd_tf.serving.export.versions import resolve


class FolderTarget:
    """Answers by a SavedModel.

    Args:
        path: a version folder, or a model's, whose highest version is taken.
    """

    def __init__(self, path: str | Path):
        self._model = LoadedModel(resolve(path))
        self.name = str(self._model.folder)

    def call(
        self, signature: str, inputs: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Outputs of a signature by name."""
        return self._model.call(signature, inputs)
