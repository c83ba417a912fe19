"""The image tower: fine-tune it on product words, embed photos.

Names load when they are first used.
"""

import importlib
from typing import Any

_MODULES = {
    "FineTuningConfig": "fine_tuning_config",
    "ImageTower": "image_tower",
    "fine_tune": "fine_tuning",
    "load_tower": "image_tower",
}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_MODULES[name]}")
    return getattr(module, name)
