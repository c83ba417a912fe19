"""Writes and verifies SavedModels for a model server.

Names are loaded when they are first used: a client reads `versions` from here
and must not load TensorFlow.
"""

from jd_tf.lazy import lazy_names

_MODULES = {
    "export": "exporting",
    "export_image_tower": "image_export",
    "export_model": "exporting",
    "refresh": "refresh_images",
    "round_ranker": "rounding",
    "verify_export": "verification.verify",
}

__all__ = sorted(_MODULES)

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
