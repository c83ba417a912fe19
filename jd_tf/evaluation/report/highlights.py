"""Highlights of a report: above all where the ranker loses."""

from collections.abc import Iterator, Mapping
from typing import Any

from jd_tf.evaluation.objective_metrics import NDCG
from jd_tf.evaluation.pages import Highlight, bounds
from jd_tf.evaluation.post_training import EXPECTED, FUSED, FUSION
from jd_tf.evaluation.system_metrics import CEILING

FEW_POSITIVES = 50
CALIBRATION_BOUNDS = (0.8, 1.25)
KINDS = ("loses", "suspect", "warning", "level", "leads")
_LABELS = {"auc": "AUC", "gauc": "GAUC", NDCG: "NDCG@10"}


def highlights(
    systems: Mapping[str, Mapping[str, Any]],
    reference: str,
    biased: bool = False,
) -> list[Highlight]:
    """Compares the reference with every system; losses come first."""
    found = [
        highlight
        for objective, entry in systems.get(reference, {}).items()
        for highlight in (
            *_warnings(objective, entry, biased),
            *_differences(objective, entry),
            *_fusion(objective, entry),
        )
    ]
    return sorted(found, key=lambda highlight: KINDS.index(highlight.kind))


def _warnings(
    objective: str, entry: Mapping[str, Any], biased: bool
) -> Iterator[Highlight]:
    """Few positives; predictions far from what happens."""
    positives = entry.get("num_positives", FEW_POSITIVES)
    shown = entry.get("num_impressions", 2 * FEW_POSITIVES)
    if min(positives, shown - positives) < FEW_POSITIVES:
        undefined = positives in (0, shown)
        yield Highlight(
            "warning",
            f"{objective}: {positives:,} of {shown:,} impressions are positive"
            + (": metrics are undefined" if undefined else ": few"),
        )
    ratio = entry.get("calibration_ratio")
    low, high = CALIBRATION_BOUNDS
    if ratio is not None and not low <= ratio <= high:
        yield Highlight(
            "warning",
            f"{objective}: mean prediction over mean label is {ratio:.2f}"
            + (", position bias taken out" if biased else ""),
        )


def _differences(
    objective: str, entry: Mapping[str, Any]
) -> Iterator[Highlight]:
    """One highlight a kind: the systems it loses to, leads, or equals."""
    main = "auc" if "auc" in entry else NDCG
    texts: dict[str, list[str]] = {}
    for system, leads in entry.get("lead", {}).items():
        signs = {m: _sign(leads[m]) for m in _LABELS if m in leads}
        lost = [metric for metric, sign in signs.items() if sign == -1]
        shown, kind = [main], None
        if system == CEILING:
            # A label leaks, or the position the oracle leaves out helps.
            kind = "suspect" if signs[main] == 1 else None
        elif lost:
            kind, shown = "loses", lost
        elif signs[main] is not None:
            kind = "leads" if signs[main] else "level"
        if kind:
            numbers = ", ".join(_number(leads, metric) for metric in shown)
            texts.setdefault(kind, []).append(f"{numbers} against {system}")
    for kind, parts in texts.items():
        yield Highlight(kind, f"{objective}: {'; '.join(parts)}")


def _sign(lead: Mapping[str, Any]) -> int | None:
    """1 ahead, -1 behind, 0 within the interval, None undefined."""
    difference, interval = lead["difference"], lead["interval"]
    if difference is None:
        return None
    if interval is None or None in interval:
        interval = (difference, difference)
    return (interval[0] > 0) - (interval[1] < 0)


def _number(leads: Mapping[str, Any], metric: str) -> str:
    """E.g. "AUC +0.0123 (95 %: 0.0100 to 0.0150)"."""
    lead = leads[metric]
    spread = bounds(lead["interval"])
    spread = f"95 %: {spread}" if spread else "no interval"
    return f"{_LABELS[metric]} {lead['difference']:+.4f} ({spread})"


def _fusion(objective: str, entry: Mapping[str, Any]) -> Iterator[Highlight]:
    """Learned weights against the plain rule, which wins where as good."""
    fusion = entry.get(FUSION)
    if not fusion or fusion["standard_error"] is None:
        return
    difference, error = fusion["difference"], fusion["standard_error"]
    kind, use = "level", "expected value, which is as good"
    if abs(difference) > 2 * error:
        kind = "leads" if difference > 0 else "loses"
        use = "learned weights" if difference > 0 else "expected value"
    yield Highlight(
        kind,
        f"{objective}: fusion NDCG@10 {fusion[FUSED][NDCG]:.5f}, expected "
        f"value {fusion[EXPECTED][NDCG]:.5f}, difference {difference:+.5f} ± "
        f"{error:.5f} (standard error); use: {use}",
    )
