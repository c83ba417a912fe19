"""Metrics of trained rankers, their baselines, and the reports on them.

Public names load on first use: some of them need TensorFlow, and whoever
searches fusion weights does not.
"""

from jd_tf.lazy import lazy_names

_HOMES = {
    "BASELINES": "baselines",
    "Predictions": "collect",
    "collect_predictions": "collect",
    "evaluate": "evaluate_run",
    "evaluate_predictions": "system_metrics",
    "model_scorer": "live_scorer",
    "report_attention": "report.attention_report",
    "write_report": "report.run_report",
}

__all__ = sorted(_HOMES)

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
