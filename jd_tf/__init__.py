"""Ranking models for e-commerce on TensorFlow and Keras.

Names load when they are first used: importing `jd_tf` loads no TensorFlow.

    import jd_tf

    trainer = jd_tf.train("runs/data", "runs/model", model="jd_ranker")
    metrics = jd_tf.evaluate("runs/data", "runs/model")
    folder = jd_tf.export("runs/model", "runs/data", "saved_models")

Sub-packages: `schema` (the columns of a request), `data` (logs to requests),
`layers`, `losses` and `metrics` (to reuse), `models` (the contract, the
registry, the rankers), `images`, `training`, `evaluation` and `serving`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jd_tf import data, layers, losses, metrics, models
    from jd_tf.evaluation.evaluate_run import evaluate
    from jd_tf.keras_files import load_model
    from jd_tf.serving.export.exporting import export
    from jd_tf.training.train import train

__version__ = "0.13.0"

_PACKAGES = ("data", "layers", "losses", "metrics", "models")
_FUNCTIONS = {
    "evaluate": "jd_tf.evaluation.evaluate_run",
    "export": "jd_tf.serving.export.exporting",
    "load_model": "jd_tf.keras_files",
    "train": "jd_tf.training.train",
}

__all__ = [
    "__version__",
    "data",
    "evaluate",
    "export",
    "layers",
    "load_model",
    "losses",
    "metrics",
    "models",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(_FUNCTIONS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
