"""The image tower: fine-tune it on product words, embed photos.

Names load when they are first used.
"""

import jd_tf.keras_backend  # noqa: F401
from jd_tf.lazy import lazy_names

_MODULES = {
    "FineTuningConfig": "fine_tuning_config",
    "ImageTower": "image_tower",
    "fine_tune": "fine_tuning",
    "load_tower": "image_tower",
}

__all__ = sorted(_MODULES)

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
