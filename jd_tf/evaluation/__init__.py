"""Metrics of trained rankers, their baselines, and the reports on them.

Public names load on first use: some of them need TensorFlow, and whoever
searches fusion weights does not.
"""

import importlib
from typing import Any

_HOMES = {
    "BASELINES": "baselines",
    "Predictions": "collect",
    "collect_predictions": "collect",
    "evaluate": "evaluate_run",
    "evaluate_predictions": "system_metrics",
    "model_scorer": "model_scorer",
    "report_attention": "report.attention_report",
    "write_report": "report.run_report",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
