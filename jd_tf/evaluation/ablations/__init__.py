"""Ablation: the effect of a model's switches, over rows and seeds."""

from jd_tf.evaluation.ablations.judge import RunJudge
from jd_tf.evaluation.ablations.report import write_ablation_report
from jd_tf.evaluation.ablations.row_presets import ROW_PRESETS
from jd_tf.evaluation.ablations.rows import Row, load_rows, parse_rows
from jd_tf.evaluation.ablations.runs import Ablation

__all__ = [
    "ROW_PRESETS",
    "Ablation",
    "Row",
    "RunJudge",
    "load_rows",
    "parse_rows",
    "write_ablation_report",
]
