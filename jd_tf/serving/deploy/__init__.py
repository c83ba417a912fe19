"""Runs model servers: configuration files, promotion, shadow traffic.

Names are loaded when they are first used, most of them with TensorFlow.
"""

import importlib
from typing import Any

_MODULES = {
    "make_deployment": "deployment",
    "promote": "promotion",
    "shadow": "shadow_report",
}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_MODULES[name]}")
    return getattr(module, name)
