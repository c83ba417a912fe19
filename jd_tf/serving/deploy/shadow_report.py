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
_PLACES = {"min": 0, "p5": 5, "p50": 50, "p95": 95, "max": 100}
_PERCENTILES = {"p50": 50, "p90": 90, "p99": 99}
# Changes of order that a shopper, and of time that an operator may notice.
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
    """Writes `shadow.json` and the self-contained `shadow.html`."""
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
        percentiles=list(_PERCENTILES),
    )
    return metrics


def compare(replayed: Replay, top_k: int = 10) -> dict[str, Any]:
    """Compares scores, rankings and times of two versions."""
    rows = [agreement(*pair, top_k) for pair in replayed.scores]
    change, overlap, same_first, tau = np.array(rows, np.float64).T
    return {
        "targets": replayed.names,
        "num_requests": len(rows),
        "num_calls": len(replayed.seconds[BEFORE]),
        "failures": replayed.failures,
        "skipped": replayed.skipped,
        "score_change": _spread(change, _PLACES),
        "top_k": {
            "k": top_k,
            "same_first": float(same_first.mean()),
            "same_set": float((overlap == 1).mean()),
            **_spread(overlap, _PLACES),
        },
        "kendall_tau": {
            "undefined": int(np.isnan(tau).sum()),
            **_spread(tau[~np.isnan(tau)], _PLACES),
        },
        "latency_ms": {
            name: _spread(1e3 * np.array(seconds), _PERCENTILES)
            for name, seconds in replayed.seconds.items()
        },
    }


def _spread(
    values: np.ndarray, places: Mapping[str, int]
) -> dict[str, float | None]:
    if not values.size:
        return dict.fromkeys(("mean", *places))
    quantiles = {n: float(np.percentile(values, p)) for n, p in places.items()}
    return {"mean": float(values.mean()), **quantiles}


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
        times = 1e3 * np.array(seconds)
        axes.ecdf(times, color=_COLORS[name], label=name)
        p50, p99 = np.percentile(times, (50, 99))
        summary.append(f"{name} {p50:.1f} ms at half, {p99:.1f} ms at 99 %")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("milliseconds of a call (logarithmic)", fontsize=8)
    axes.set_ylabel("calls that took no longer", fontsize=8)
    axes.legend(fontsize=8, frameon=False)
    return Picture("Time of a call", "; ".join(summary), to_png(figure))
