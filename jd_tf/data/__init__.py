"""Logs become requests, requests become padded batches.

Names are loaded when they are first used, so that parts that need no
TensorFlow can be imported without it.
"""

import importlib
from typing import Any

_MODULES = {
    "SOURCES": "sources",
    "BehaviorParameters": "simulator",
    "ItemVectors": "item_vectors",
    "RequestBuilder": "sources.request_builder",
    "RequestValidator": "validation",
    "Simulator": "simulator",
    "SimulatorConfig": "simulator",
    "Source": "sources.source",
    "make_dataset": "dataset_making",
    "numpy_batches": "batches",
    "open_source": "sources",
    "read_batches": "batches",
    "read_schema": "dataset",
    "write_dataset": "dataset",
}
__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_MODULES[name]}")
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
