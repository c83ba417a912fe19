"""The numbers that programs print after an evaluation."""

from collections.abc import Mapping
from typing import Any

from jd_tf.evaluation.objective_metrics import NDCG
from jd_tf.evaluation.post_training import CALIBRATION, EXPECTED, FUSED, FUSION
from jd_tf.evaluation.system_metrics import VALUE


def printed_summary(systems: Mapping[str, Mapping[str, Any]]) -> str:
    """AUC of all systems, the ranker first; gain of calibration and fusion."""
    mine = next(iter(systems.values()))
    objectives = [name for name in mine if name != VALUE]
    rows = {
        f"AUC {system}": [found[name]["auc"] for name in objectives]
        for system, found in systems.items()
    }
    for when in ("before", "after"):
        errors = [
            mine[name][CALIBRATION]["all"][when]["calibration_error"]
            for name in objectives
            if CALIBRATION in mine[name]
        ]
        if errors:
            rows[f"ECE {when}"] = errors
    fusion = mine.get(VALUE, {}).get(FUSION)
    if fusion:
        rows["fusion weights"] = [fusion["shares"][n] for n in objectives]
    lines = [" " * 18 + "".join(f"{name:>14}" for name in objectives)]
    for label, numbers in rows.items():
        texts = ["-" if n is None else f"{n:.4f}" for n in numbers]
        lines.append(f"{label:<18}" + "".join(f"{t:>14}" for t in texts))
    if fusion and fusion["standard_error"] is not None:
        lines.append(
            f"{NDCG} of value: fusion {fusion[FUSED][NDCG]:.5f}, expected "
            f"value {fusion[EXPECTED][NDCG]:.5f}, difference "
            f"{fusion['difference']:+.5f} +- {fusion['standard_error']:.5f}"
        )
    return "\n".join(lines)
