"""Reports shadow traffic: two versions on one log, as JSON and as a page."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import PercentFormatter

from jd_tf.data.files import write_json
from jd_tf.evaluation.pages import write_page
from jd_tf.evaluation.pictures import Picture, new_figure, to_png
from jd_tf.serving.client.request_log import log_files
from jd_tf.serving.deploy.replay import (
    AFTER,
    BEFORE,
    Replay,
    Target,
    agreement,
    replay,
)
from jd_tf.serving.export.recordings import read_recordings

JSON_FILE, PAGE_FILE = "shadow.json", "shadow.html"
_PERCENTILES = (50, 90, 99)
# A change of order that a shopper may see, and one of time that an operator
# will.
_NOTABLE_OVERLAP, _NOTABLE_RATIO = 0.9, 1.2
_TINY = 1e-5
_COLORS = {BEFORE: "#1d4e89", AFTER: "#c1121f"}
_MAX_POINTS = 5000


def shadow(
    log: str | Path,
    before: Target,
    after: Target,
    output: str | Path,
    top_k: int = 10,
    max_calls: int = 0,
) -> dict[str, Any]:
    """Replays a request log on two versions and writes the report.

    Args:
        log: a file of `PredictionLog`s, or the folder of a request log.
        before: the version that serves.
        after: the version that might.
        output: folder of `shadow.json` and `shadow.html`.
        top_k: number of places that count as the top.
        max_calls: largest number of calls; 0 for all.

    Returns:
        The metrics of `compare`.

    Raises:
        DataError: if the log cannot be read, or nothing was answered by both.
    """
    files = log_files(log) if Path(log).is_dir() else [log]
    calls = (call for file in files for call in read_recordings(file))
    replayed = replay(calls, before, after, max_calls)
    return write_shadow_report(output, replayed, top_k)


def write_shadow_report(
    output: str | Path, replayed: Replay, top_k: int = 10
) -> dict[str, Any]:
    """Writes `shadow.json` and the self-contained `shadow.html`.

    Args:
        output: the folder.
        replayed: answers of both.
        top_k: number of places that count as the top.

    Returns:
        The metrics of `compare`.
    """
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    metrics = compare(replayed, top_k)
    write_json(output / JSON_FILE, metrics)
    write_page(
        output / PAGE_FILE,
        "shadow.html",
        title="Shadow traffic: two versions on one log",
        metrics=metrics,
        findings=list(_highlights(metrics)),
        pictures=[_scores(replayed), _times(replayed)],
        percentiles=[f"p{p}" for p in _PERCENTILES],
    )
    return metrics


def compare(replayed: Replay, top_k: int = 10) -> dict[str, Any]:
    """Compares scores, rankings and times of two versions.

    Args:
        replayed: answers of both.
        top_k: number of places that count as the top.

    Returns:
        `targets`, `num_requests`, `num_calls`, `failures`, `skipped`, and of
        `score_change`, `top_k` and `kendall_tau` mean and quantiles, and
        `latency_ms` by target.
    """
    found = [agreement(*pair, top_k) for pair in replayed.scores]
    tau = np.array([one.tau for one in found])
    return {
        "targets": dict(replayed.names),
        "num_requests": len(found),
        "num_calls": len(replayed.seconds[BEFORE]),
        "failures": {n: dict(c) for n, c in replayed.failures.items()},
        "skipped": dict(replayed.skipped),
        "score_change": _quantiles([one.difference for one in found]),
        "top_k": {
            "k": top_k,
            "same_first": float(np.mean([one.same_first for one in found])),
            "same_set": float(np.mean([one.overlap == 1 for one in found])),
            **_quantiles([one.overlap for one in found]),
        },
        "kendall_tau": {
            "undefined": int(np.isnan(tau).sum()),
            **_quantiles(tau[~np.isnan(tau)]),
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


def _quantiles(values: Any) -> dict[str, float | None]:
    values = np.asarray(values, np.float64)
    if not values.size:
        return dict.fromkeys(("mean", "min", "p5", "p50", "p95", "max"))
    p5, p50, p95 = np.percentile(values, (5, 50, 95)).tolist()
    low, high = float(values.min()), float(values.max())
    mean = float(values.mean())
    quantiles = {"p5": p5, "p50": p50, "p95": p95}
    return {"mean": mean, "min": low, **quantiles, "max": high}


def _highlights(metrics: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    for name, failures in metrics["failures"].items():
        if failures:
            count, first = sum(failures.values()), next(iter(failures))
            text = f"{name}: {count} calls failed, first: {first}"
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
        text = f"{count} logged calls were not replayed: {reason}."
        yield {"kind": "note", "text": text}


def _scores(replayed: Replay) -> Picture:
    before, after = map(np.concatenate, zip(*replayed.scores, strict=True))
    step = -(-len(before) // _MAX_POINTS)
    figure, axes = new_figure()
    axes.scatter(
        before[::step], after[::step], 3, color=_COLORS[AFTER], alpha=0.4
    )
    axes.axline((before[0], before[0]), slope=1, color="#6c757d", linewidth=1)
    axes.set_xlabel("score before", fontsize=8)
    axes.set_ylabel("score after", fontsize=8)
    change = np.abs(before - after).max()
    return Picture(
        "Scores of the same candidates",
        f"{len(before):,} candidates, score after against score before; the "
        f"largest change is {change:.3g}",
        to_png(figure),
    )


def _times(replayed: Replay) -> Picture:
    figure, axes = new_figure()
    summary = []
    for name, seconds in replayed.seconds.items():
        axes.ecdf(1e3 * seconds, color=_COLORS[name], label=name)
        p50, p99 = 1e3 * np.percentile(seconds, (50, 99))
        summary.append(f"{name} {p50:.1f} ms at half, {p99:.1f} ms at 99 %")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("milliseconds of a call (logarithmic)", fontsize=8)
    axes.set_ylabel("calls that took no longer", fontsize=8)
    axes.legend(fontsize=8, frameon=False)
    return Picture("Time of a call", "; ".join(summary), to_png(figure))
