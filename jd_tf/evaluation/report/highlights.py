"""Highlights of a report: above all where the ranker loses."""

from collections.abc import Iterator, Mapping
from typing import Any

from jd_tf.evaluation.objective_metrics import HEADLINE, NDCG
from jd_tf.evaluation.pages import Highlight, below_chance, bounds
from jd_tf.evaluation.post_training import EXPECTED, FUSED, FUSION
from jd_tf.evaluation.system_metrics import CEILING

FEW_POSITIVES = 50
TOO_GOOD = 0.99
CALIBRATION_BOUNDS = (0.8, 1.25)
KINDS = ("loses", "suspect", "warning", "level", "leads")


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
            *standing(objective, entry),
            *_losses(objective, entry),
            *fusion_line(objective, entry),
        )
    ]
    return sorted(found, key=lambda highlight: KINDS.index(highlight.kind))


def _warnings(
    objective: str, entry: Mapping[str, Any], biased: bool
) -> Iterator[Highlight]:
    """Orders worse than chance, few positives, bad calibration."""
    for metric, label in HEADLINE.items():
        if below_chance(entry.get(metric), metric):
            yield Highlight(
                "loses",
                f"{objective}: {label} is {entry[metric]:.4f}; below .5, a "
                "random order is better",
            )
        if (entry.get(metric) or 0.0) > TOO_GOOD:
            yield Highlight(
                "suspect",
                f"{objective}: {label} is {entry[metric]:.4f}, too good to be "
                "true: a feature or a history may hold what is to be "
                "predicted. Look at the warnings of the data's summary",
            )
    positives = entry.get("num_positives", FEW_POSITIVES)
    shown = entry.get("num_impressions", 2 * FEW_POSITIVES)
    if "relative_deviance" in entry:  # Amounts may all be above 0.
        shown = positives + FEW_POSITIVES
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


def best_rival(entry: Mapping[str, Any]) -> str:
    """The system with the highest AUC (NDCG of value); "" without any."""
    main = _main(entry)
    ahead = {
        system: lead[main]["difference"]
        for system, lead in entry.get("lead", {}).items()
        if system != CEILING and lead[main]["difference"] is not None
    }
    return min(ahead, key=lambda system: ahead[system], default="")


def standing(objective: str, entry: Mapping[str, Any]) -> list[Highlight]:
    """Compares the ranker with its best rival, if there is one."""
    best, main = best_rival(entry), _main(entry)
    if not best:
        return []
    leads = entry["lead"][best]
    known = [m for m in HEADLINE if _sign(leads.get(m)) is not None]
    kind = "leads" if _sign(leads[main]) == 1 else "level"
    if any(_sign(leads[metric]) == -1 for metric in known):
        kind = "loses"
    numbers = ", ".join(_number(leads, metric) for metric in known)
    text = f"{objective}: {numbers} against {best}, the best rival"
    return [Highlight(kind, text)]


def _losses(objective: str, entry: Mapping[str, Any]) -> Iterator[Highlight]:
    """Other systems it loses to; an oracle that it beats."""
    best, main = best_rival(entry), _main(entry)
    texts: dict[str, list[str]] = {}
    for system, leads in entry.get("lead", {}).items():
        if system == best:
            continue
        kind, shown = (
            "loses",
            [m for m in HEADLINE if _sign(leads.get(m)) == -1],
        )
        if system == CEILING:
            # A label leaks, or the position the oracle leaves out helps.
            kind, shown = "suspect", [main] * (_sign(leads[main]) == 1)
        if shown:
            numbers = ", ".join(_number(leads, metric) for metric in shown)
            texts.setdefault(kind, []).append(f"{numbers} against {system}")
    for kind, parts in texts.items():
        yield Highlight(kind, f"{objective}: {'; '.join(parts)}")


def _main(entry: Mapping[str, Any]) -> str:
    return "auc" if "auc" in entry else NDCG


def _sign(lead: Mapping[str, Any] | None) -> int | None:
    """1 ahead, -1 behind, 0 within the interval, None undefined."""
    if lead is None or lead["difference"] is None:
        return None
    difference, interval = lead["difference"], lead["interval"]
    if interval is None or None in interval:
        interval = (difference, difference)
    return (interval[0] > 0) - (interval[1] < 0)


def _number(leads: Mapping[str, Any], metric: str) -> str:
    """E.g. "AUC +0.0123 (95 %: 0.0100 to 0.0150)"."""
    lead = leads[metric]
    spread = bounds(lead["interval"])
    spread = f"95 %: {spread}" if spread else "no interval"
    return f"{HEADLINE[metric]} {lead['difference']:+.4f} ({spread})"


def fusion_line(
    objective: str, entry: Mapping[str, Any]
) -> Iterator[Highlight]:
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
