"""What the numbers say, in plain words: above all where ours loses."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from jd_tf.evaluation.objective_metrics import NDCG
from jd_tf.evaluation.standing import CEILING

FEW_POSITIVES = 50
CALIBRATION_BOUNDS = (0.8, 1.25)
_LABELS = {"auc": "AUC", "gauc": "GAUC", NDCG: "NDCG@10"}


class Finding(NamedTuple):
    """One sentence of the report.

    Attributes:
        kind: "loses", "why", "suspect", "warning", "level", "leads" or
            "note".
        text: the sentence.
    """

    kind: str
    text: str


def find(
    metrics: Mapping[str, Mapping[str, Any]],
    reference: str = "jd_ranker",
    biased: bool = False,
) -> list[Finding]:
    """Compares the reference with every system, objective by objective.

    Args:
        metrics: system -> objective -> metric, of one split.
        reference: the system the report is about.
        biased: whether a position bias is taken out of its probabilities.

    Returns:
        Findings, the worst news first.
    """
    found = [
        finding
        for objective, entry in metrics.get(reference, {}).items()
        for finding in (
            *_thin_data(objective, entry),
            *_standing(objective, entry, reference),
            *_calibration(objective, entry, reference, biased),
        )
    ]
    order = ("loses", "why", "suspect", "warning", "level", "leads", "note")
    return sorted(found, key=lambda finding: order.index(finding.kind))


def _thin_data(objective: str, entry: Mapping[str, Any]) -> Iterator[Finding]:
    positives, shown = entry["num_positives"], entry["num_impressions"]
    rarer = min(positives, shown - positives)
    if rarer == 0:
        which = "none" if positives == 0 else "all"
        yield Finding(
            "warning",
            f"{objective}: {which} of {shown:,} impressions is positive; its "
            "metrics are undefined, not perfect.",
        )
    elif rarer < FEW_POSITIVES:
        yield Finding(
            "warning",
            f"{objective}: {positives:,} of {shown:,} impressions are "
            "positive; too few to trust its numbers far.",
        )


def _standing(
    objective: str, entry: Mapping[str, Any], reference: str
) -> Iterator[Finding]:
    main = "auc" if "auc" in entry else NDCG
    ahead = []
    for system, leads in entry.get("lead", {}).items():
        signs = {
            metric: _sign(leads[metric])
            for metric in _LABELS
            if metric in leads
        }
        lost = [metric for metric, sign in signs.items() if sign == -1]
        if system == CEILING:
            if signs[main] == 1:
                yield Finding(
                    "suspect",
                    f"{objective}: {reference} beats the {CEILING} in "
                    f"{_amount(leads, main)}. Either a label leaks, or it "
                    "learned where the logging policy shows what.",
                )
        elif lost:
            amounts = "; in ".join(_amount(leads, metric) for metric in lost)
            yield Finding(
                "loses",
                f"{objective}: {reference} loses to {system} in {amounts}.",
            )
        elif signs[main] == 1:
            size = _amount(leads, main).removeprefix(_LABELS[main])
            ahead.append(f"{system}{size}")
        elif signs[main] == 0:
            yield Finding(
                "level",
                f"{objective}: {reference} and {system} cannot be told apart "
                f"in {_LABELS[main]}: {leads[main]['difference']:+.4f}"
                f"{_spread(leads[main], 1)}.",
            )
    if ahead:
        yield Finding(
            "leads",
            f"{objective}: {reference} leads in {_LABELS[main]} over "
            f"{', '.join(ahead)}.",
        )


def _sign(lead: Mapping[str, Any]) -> int | None:
    """1 ahead, -1 behind, 0 cannot tell, None undefined."""
    difference, interval = lead["difference"], lead["interval"]
    if difference is None:
        return None
    if interval is None or None in interval:
        interval = (difference, difference)
    return (interval[0] > 0) - (interval[1] < 0)


def _amount(leads: Mapping[str, Any], metric: str) -> str:
    """E.g. "AUC by 0.0123 (95 % interval 0.0100 to 0.0150)"."""
    difference = leads[metric]["difference"]
    sign = 1 if difference > 0 else -1
    spread = _spread(leads[metric], sign)
    return f"{_LABELS[metric]} by {abs(difference):.4f}{spread}"


def _spread(lead: Mapping[str, Any], sign: int) -> str:
    interval = lead["interval"]
    if interval is None or None in interval:
        return " (no interval)"
    low, high = sorted(sign * bound for bound in interval)
    return f" (95 % interval {low:.4f} to {high:.4f})"


def _calibration(
    objective: str, entry: Mapping[str, Any], reference: str, biased: bool
) -> Iterator[Finding]:
    ratio = entry.get("calibration_ratio")
    low, high = CALIBRATION_BOUNDS
    if ratio is None or low <= ratio <= high:
        return
    direction = "more" if ratio > 1 else "less"
    text = (
        f"{objective}: {reference} promises {direction} than happens: mean "
        f"prediction over mean label is {ratio:.2f}."
    )
    if biased:
        text += (
            " Its probabilities leave the position out, so a logging policy "
            "that shows the best items first moves this ratio."
        )
    yield Finding("warning", text)
