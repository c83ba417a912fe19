"""Writes and verifies SavedModels for a model server.

Names are loaded when they are first used: a client reads `versions` from here
and must not load TensorFlow.
"""

import importlib
from typing import Any

_MODULES = {
    "export": "exporting",
    "export_image_tower": "image_export",
    "export_model": "exporting",
    "refresh": "refresh_images",
    "round_ranker": "rounding",
    "verify_export": "verification.verify",
}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_MODULES[name]}")
    return getattr(module, name)
