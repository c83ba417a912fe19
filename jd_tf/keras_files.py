"""Models of `.keras` files.

A file of its own: whoever trains or serves does without it, and it loads
every model.
"""

from pathlib import Path
from typing import Any

import keras

import jd_tf.layers
import jd_tf.losses
import jd_tf.training.sparse_dense_optimizer  # noqa: F401
from jd_tf.models.registry import get_model, model_names


def load_model(path: str | Path, **options: Any) -> keras.Model:
    """Loads a `.keras` file, whatever it has of this package.

    `keras.saving.load_model` finds layers, models, losses and optimizers only
    after their modules were imported; here all of them are.

    Args:
        path: of the file.
        **options: of `keras.saving.load_model`.

    Example:
    >>> import tempfile
    >>> from jd_tf.layers import FeatureNormalization
    >>> inputs = keras.Input((3,))
    >>> model = keras.Model(inputs, FeatureNormalization()(inputs))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model.save(f"{folder}/model.keras")
    ...     load_model(f"{folder}/model.keras").count_params()
    106
    """
    for name in model_names():
        get_model(name)
    return keras.saving.load_model(path, **options)
