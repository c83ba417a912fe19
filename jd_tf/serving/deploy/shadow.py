"""Shadow traffic: two versions on one log, as numbers and as a page."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jd_tf.data.json_files import write_json
from jd_tf.evaluation.pages import write_page
from jd_tf.serving.deploy.ranking_agreement import (
    RankingAgreement,
    agreement,
)
from jd_tf.serving.deploy.replay import AFTER, BEFORE, Replay
from jd_tf.serving.deploy.shadow_pictures import shadow_pictures

JSON_FILE, PAGE_FILE = "shadow.json", "shadow.html"
_PERCENTILES = (50, 90, 99)
# A change of order that a shopper may see, and one of time that an operator
# will.
_NOTABLE_OVERLAP, _NOTABLE_RATIO = 0.9, 1.2
_TINY = 1e-5


def compare(replayed: Replay, top_k: int = 10) -> dict[str, Any]:
    """What shadow.json holds.

    Args:
        replayed: answers of both.
        top_k: places that count as the top of a ranking.

    Returns:
        `targets`, `num_requests`, `num_calls`, `failures`, `skipped`, and of
        `score_change`, `top_k` and `kendall_tau` mean and quantiles, and
        `latency_ms` by target.
    """
    return _compare(replayed, _agreements(replayed, top_k), top_k)


def write_shadow_report(
    output: str | Path, replayed: Replay, top_k: int = 10
) -> dict[str, Any]:
    """Writes `shadow.json` and the self-contained `shadow.html`.

    Args:
        output: the folder.
        replayed: answers of both.
        top_k: places that count as the top of a ranking.

    Returns:
        What shadow.json holds.
    """
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    found = _agreements(replayed, top_k)
    metrics = _compare(replayed, found, top_k)
    write_json(output / JSON_FILE, metrics)
    write_page(
        output / PAGE_FILE,
        "shadow.html",
        title="Shadow traffic: two versions on one log",
        metrics=metrics,
        findings=list(_findings(metrics)),
        pictures=shadow_pictures(replayed, found, top_k),
        percentiles=[f"p{p}" for p in _PERCENTILES],
    )
    return metrics


def _agreements(replayed: Replay, top_k: int) -> list[RankingAgreement]:
    return [agreement(*pair, top_k) for pair in replayed.scores]


def _compare(
    replayed: Replay, found: list[RankingAgreement], top_k: int
) -> dict[str, Any]:
    tau = np.array([one.tau for one in found])
    return {
        "targets": dict(replayed.names),
        "num_requests": len(found),
        "num_calls": len(replayed.seconds[BEFORE]),
        "failures": {n: dict(c) for n, c in replayed.failures.items()},
        "skipped": dict(replayed.skipped),
        "score_change": _spread([one.difference for one in found]),
        "top_k": {
            "k": top_k,
            "same_first": float(np.mean([one.same_first for one in found])),
            "same_set": float(np.mean([one.overlap == 1 for one in found])),
            **_spread([one.overlap for one in found]),
        },
        "kendall_tau": {
            "undefined": int(np.isnan(tau).sum()),
            **_spread(tau[~np.isnan(tau)]),
        },
        "latency_ms": {
            name: {
                "mean": float(1e3 * seconds.mean()),
                **{
                    f"p{p}": float(1e3 * np.percentile(seconds, p))
                    for p in _PERCENTILES
                },
            }
            for name, seconds in replayed.seconds.items()
        },
    }


def _spread(values: Any) -> dict[str, float | None]:
    values = np.asarray(values, np.float64)
    if not values.size:
        return dict.fromkeys(("mean", "min", "p5", "p50", "p95", "max"))
    p5, p50, p95 = np.percentile(values, (5, 50, 95))
    return {
        "mean": float(values.mean()),
        "min": float(values.min()),
        "p5": float(p5),
        "p50": float(p50),
        "p95": float(p95),
        "max": float(values.max()),
    }


def _findings(metrics: dict[str, Any]) -> Iterator[dict[str, str]]:
    for name in (BEFORE, AFTER):
        count = sum(metrics["failures"][name].values())
        if count:
            complaint = next(iter(metrics["failures"][name]))
            text = f"{name}: {count} calls failed, first: {complaint}"
            yield {"kind": "loses", "text": text}
    top, change = metrics["top_k"], metrics["score_change"]["max"]
    if change <= _TINY:
        text = f"All scores are the same; the largest change is {change:.1e}."
        yield {"kind": "leads", "text": text}
    else:
        few = top["mean"] < _NOTABLE_OVERLAP
        yield {
            "kind": "warning" if few else "leads",
            "text": f"Of the first {top['k']} places {100 * top['mean']:.1f} % "
            "hold the same candidates on average; the first place is the "
            f"same in {100 * top['same_first']:.1f} % of requests.",
        }
    before, after = (metrics["latency_ms"][n]["p99"] for n in (BEFORE, AFTER))
    ratio = after / before
    yield {
        "kind": "warning" if ratio > _NOTABLE_RATIO else "leads",
        "text": f"The 99th percentile of a call is {after:.1f} ms after, "
        f"{before:.1f} ms before: {ratio:.2f} times.",
    }
    for reason, count in metrics["skipped"].items():
        text = f"{count} logged calls were not asked: {reason}."
        yield {"kind": "note", "text": text}
